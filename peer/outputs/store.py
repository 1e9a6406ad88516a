"""An output root that is an object store: put only if nothing has the name, replace only the very object that was looked at.

Decides how an object gets its name. obstore speaks to the stores (S3, Azure, Google): an extra, imported when a root wants it.
A store whose answer shows that it ignores conditions is refused, since it would overwrite what others have put there.
Refuses to know jobs and credentials: those come from the environment, as the providers' own programs read them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import blake3

from peer import failpoints
from peer.outputs.root import Finding, Judge, RootFault, Verdict
from peer.ports import Blobs, Corrupt
from protocol import limits
from protocol.errors import Invalid
from protocol.ids import JobId
from protocol.jobs.naming import FILE_TYPES
from protocol.jobs.parcels import Parcel
from protocol.jobs.results import Output

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PROBE: Final = ".rendermesh-conditions"
_QUERY: Final = re.compile(r"(https?://[^\s?]*)\?\S*")  # it may hold a signature
_MESSAGE: Final = re.compile(r"<Message>([^<]*)</Message>")


def connect(url: str) -> ObjectStore:
    """The store at `s3://`, `az://` or `gs://`. Raises `Invalid` (`bad_output_root`) with what is wrong with it."""
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    retries: Any = {"max_retries": limits.STORE_RETRIES_MAX, "retry_timeout": timedelta(seconds=limits.STORE_RETRY_TOTAL_S)}
    client: Any = {"connect_timeout": f"{limits.STORE_CONNECT_S}s", "timeout": f"{limits.STORE_REQUEST_S}s"}
    client["allow_http"] = True  # an endpoint without TLS is the operator's own choice; the providers' are all https
    try:
        return from_url(url, client_options=client, retry_config=retries)
    except BaseError as fault:
        raise Invalid("bad_output_root", f"output root {url}: {_text(fault)}") from fault


class StoreRoot:
    """Invariant: an object is whole from its first moment, and none is replaced but by its own tag.

    Conditions are tried once in each run of the peer, with an object that is removed again."""

    def __init__(self, name: str, store: ObjectStore, blobs: Blobs, judge: Judge, *, scratch: Path) -> None:
        """`scratch` is a folder of this peer for objects that must be looked at; it may not be there yet."""
        self._name = name
        self._store = store
        self._blobs = blobs
        self._judge = judge
        self._scratch = scratch
        self._is_proven = False

    async def begin(self, job: JobId) -> StoreBatch:
        """Raises `RootFault` when the store cannot be reached, or ignores conditions."""
        if not self._is_proven:
            with faults(self._name):
                await _prove_conditions(self._store, self._name)
            self._is_proven = True
        return StoreBatch(self._name, self._store, self._blobs, self._judge, self._scratch)


@dataclass(slots=True)
class StoreBatch:
    """Satisfies `Batch`."""

    name: str
    store: ObjectStore
    blobs: Blobs
    judge: Judge
    scratch: Path

    async def holds(self, name: str, parcel: Parcel, output: Output) -> bool:
        with faults(self.name):
            seen = await _head(self.store, name)
            if seen is None:
                return False
            return not parcel.replaces or await self._look(name, seen, parcel, output) != "older"

    async def place(self, name: str, parcel: Parcel, output: Output) -> Verdict:
        """An object that turns up or changes in between is looked at once more, a few times."""
        source = await self._source(output)
        with faults(self.name):
            for _ in range(limits.STORE_RACES_MAX):
                if await self._put(name, source, output, "create"):
                    return "placed"
                seen = await _head(self.store, name)
                if seen is None:
                    continue  # it has gone again
                finding = await self._look(name, seen, parcel, output)
                if finding != "older":
                    return "placed" if finding == "ours" else "conflict"
                if seen["e_tag"] and await self._put(name, source, output, _version_of(seen)):
                    return "placed"
        raise RootFault("output_root_failed", f"output root {self.name!r}: {name}: it changes while it is looked at")

    async def _source(self, output: Output) -> Path:
        """Where the blob lies, hashed once more."""
        source = await self.blobs.path(output.digest)
        if source is None:
            raise Corrupt(f"the blob {output.digest[:16]} has left this peer's cache")
        if await asyncio.to_thread(_hash, source) != output.digest:
            await self.blobs.check(output.digest)  # drops it, so that it is fetched anew
            raise Corrupt(f"the blob {output.digest[:16]} is damaged on this peer; it is fetched again")
        return source

    async def _put(self, name: str, source: Path, output: Output, mode: Any) -> bool:
        """False when the condition of `mode` does not hold. One request: a multipart upload would know no condition."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        kind = FILE_TYPES.get(output.format, ("", "application/octet-stream"))[1]
        try:
            await asyncio.to_thread(failpoints.reach, "output rename before")
            await obstore.put_async(self.store, name, source, mode=mode, use_multipart=False, attributes={"Content-Type": kind})
            await asyncio.to_thread(failpoints.reach, "output rename after")
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    async def _look(self, name: str, seen: Any, parcel: Parcel, output: Output) -> Finding:
        """What the object is: fetched whole, so that its bytes and pixels say it, not what somebody wrote beside them."""
        if seen["size"] > limits.IMAGE_FILE_BYTES_MAX:
            return "foreign"
        async with _fetched(self.store, name, self.scratch, suffix=Path(name).suffix) as (path, digest):

            async def has_bytes() -> bool:
                return digest == output.digest

            return await self.judge.find(path, parcel, output, has_bytes=has_bytes)


async def _prove_conditions(store: ObjectStore, name: str) -> None:
    """Create one object twice. Raises `RootFault` when the store lets that happen."""
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    key = f"{_PROBE}-{secrets.token_hex(6)}"
    await obstore.put_async(store, key, b"1", mode="create", use_multipart=False)
    try:
        await obstore.put_async(store, key, b"2", mode="create", use_multipart=False)
    except (AlreadyExistsError, PreconditionError):
        return
    finally:
        with contextlib.suppress(Exception):  # who may not delete leaves a byte behind
            await obstore.delete_async(store, key)
    text = f"output root {name!r}: the store does not keep to If-None-Match, and could overwrite files of others"
    raise RootFault("output_root_failed", text)


async def _head(store: ObjectStore, name: str) -> Any:
    """Size and tag of an object, None when there is none."""
    import obstore
    from obstore.exceptions import NotFoundError

    try:
        return await obstore.head_async(store, name)
    except (NotFoundError, FileNotFoundError):
        return None


def _version_of(seen: Any) -> dict[str, str]:
    return {key: seen[key] for key in ("e_tag", "version") if seen.get(key)}


@contextlib.asynccontextmanager
async def _fetched(store: ObjectStore, name: str, scratch: Path, *, suffix: str) -> AsyncIterator[tuple[Path, str]]:
    """An object as a file of this peer, with the digest of its bytes; gone afterwards."""
    import obstore

    path = scratch / f"{secrets.token_hex(8)}{suffix}"
    hasher = blake3.blake3()
    await asyncio.to_thread(scratch.mkdir, parents=True, exist_ok=True)
    file = await asyncio.to_thread(path.open, "xb")
    try:
        found = await obstore.get_async(store, name)
        async for piece in found.stream():
            hasher.update(piece)
            await asyncio.to_thread(file.write, piece)
        await asyncio.to_thread(file.close)
        yield path, hasher.hexdigest()
    finally:
        await asyncio.to_thread(file.close)
        await asyncio.to_thread(path.unlink)


@contextlib.contextmanager
def faults(root: str) -> Iterator[None]:
    """What a store says, as what it means for a delivery. Raises `RootFault`."""
    from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except (NotFoundError, FileNotFoundError) as fault:
        raise RootFault("output_root_gone", f"output root {root!r}: {_text(fault)}") from fault
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as fault:
        raise RootFault("output_root_read_only", f"output root {root!r}: {_text(fault)}") from fault
    except (BaseError, NotImplementedError) as fault:
        raise RootFault("output_root_failed", f"output root {root!r}: {_text(fault)}") from fault


def _text(fault: Exception) -> str:
    """Its first line, without signatures and markup, and what the server itself has said."""
    whole = str(fault)
    first, server = whole.partition("\n")[0].partition("<")[0].strip(), _MESSAGE.search(whole)
    said = f"{first} {server[1]}" if server is not None else first
    return _QUERY.sub(r"\1?...", said)[: limits.TEXT_CHARS_MAX]


def _hash(path: Path) -> str:
    hasher = blake3.blake3()
    with path.open("rb") as file:
        while piece := file.read(limits.HASH_PIECE_BYTES):
            hasher.update(piece)
    return hasher.hexdigest()
