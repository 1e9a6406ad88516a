"""multipart/form-data, part by part: files straight into the blob store, fields as bounded text.

Decides how bytes are read and when a body is broken. Refuses to know which parts there may be. A client that goes away, sends
too slowly or breaks the form leaves no partial file.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass
from typing import Final, TypeVar

from aiohttp import BadContentDispositionHeader, BadContentDispositionParam, BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from peer.ports import BlobWriter
from peer.web.problems import Refused, wrong_fields
from peer.web.requests import pace_of, paced, refuse_large, too_large
from peer.web.scenezip import MAGIC as ZIP_MAGIC
from peer.web.site import Site, site_of
from protocol import limits
from protocol.ids import Digest

T = TypeVar("T")
_BROKEN: Final = "the form is cut short or has no boundary; nothing was kept"


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `name` of the field, `filename` as the client wrote it (folders included), None for plain fields."""

    name: str
    filename: str | None
    body: BodyPartReader


class Form:
    """A form being read. Invariants: in order, once; all parts together at most `scene_bytes_max` bytes."""

    def __init__(self, request: web.Request, site: Site, reader: MultipartReader) -> None:
        self._request = request
        self._site = site
        self._reader = reader
        self._pace = pace_of(site)
        self._bytes = 0
        self._chunk_bytes = limits.BLOB_CHUNK_BYTES

    async def parts(self) -> AsyncGenerator[Part, None]:
        """Raises `Refused` 400 (`bad_form`), 408, 413."""
        while (part := await self._read(self._reader.next())) is not None:
            if not isinstance(part, BodyPartReader):
                raise Refused(400, "bad_form", "a form inside a form is not taken")
            name, filename = parse_disposition(part.headers.get("Content-Disposition", ""))
            yield Part(name, filename, part)
        self._check_end()

    async def text(self, part: Part) -> str:
        """A field's text. Raises `Refused` 422."""
        value = bytearray()
        while chunk := await self._chunk(part):
            value += chunk
            if len(value) > limits.FORM_FIELD_BYTES_MAX:
                raise wrong_fields([{"field": part.name, "message": f"longer than {limits.FORM_FIELD_BYTES_MAX:,} bytes"}])
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise wrong_fields([{"field": part.name, "message": "not UTF-8"}]) from None

    async def file(self, part: Part) -> bytes | tuple[Digest, int]:
        """Stream a file into the store, or give a small one back for `take_many`. Raises `StoreFull`, `Refused`; then nothing
        of it stays."""
        return await self._taken(part, await self._begun(part))

    async def file_or_zip(self, part: Part) -> bytes | tuple[Digest, int] | BlobWriter:
        """As `file`, but a zip is left as it came, in a transfer: the caller reads it at its `path` and aborts it."""
        held = await self._begun(part)
        is_zip = held.startswith(ZIP_MAGIC) or (part.filename or "").lower().endswith(".zip")
        return await (self._poured(part, held) if is_zip else self._taken(part, held))

    async def _begun(self, part: Part) -> bytearray:
        """All of a small file, the beginning of a large one."""
        held = bytearray()
        while len(held) <= limits.SMALL_FILE_BYTES_MAX and (chunk := await self._chunk(part)):
            held += chunk
        return held

    async def _taken(self, part: Part, held: bytearray) -> bytes | tuple[Digest, int]:
        if len(held) <= limits.SMALL_FILE_BYTES_MAX:
            return bytes(held)
        writer = await self._poured(part, held)
        try:
            return await writer.finish()
        except BaseException:
            await writer.abort(keep=False)
            raise

    async def _poured(self, part: Part, held: bytearray) -> BlobWriter:
        writer = await self._site.blobs.writer()
        try:
            await self._pour(part, writer, held)
        except BaseException:
            await writer.abort(keep=False)
            raise
        return writer

    async def _pour(self, part: Part, writer: BlobWriter, held: bytearray) -> None:
        while chunk := await self._chunk(part):
            held += chunk
            if len(held) >= self._chunk_bytes:
                await writer.write(bytes(held))
                held.clear()
        if held:
            await writer.write(bytes(held))

    async def _chunk(self, part: Part) -> bytes:
        chunk = b""
        while not chunk and not part.body.at_eof():  # a piece may be empty while a boundary is being looked for
            chunk = await self._read(part.body.read_chunk(self._chunk_bytes))
        self._bytes += len(chunk)
        self._pace.charge(waited_s=0.0, received_bytes=len(chunk))
        if self._bytes > self._site.options.scene_bytes_max:
            raise too_large(self._site.options.scene_bytes_max)
        return chunk

    async def _read(self, read: Awaitable[T]) -> T:
        try:
            return await paced(self._pace, read)
        except (ValueError, AssertionError, RuntimeError, web.HTTPException, HttpProcessingError):  # how aiohttp says "broken"
            raise Refused(400, "bad_form", _BROKEN) from None

    def _check_end(self) -> None:
        if not self._reader.at_eof():
            raise Refused(400, "bad_form", _BROKEN)


def ignore_reader_warnings() -> None:
    """aiohttp's reader warns of headers that we read and refuse ourselves. Each text is the client's own, and the interpreter
    remembers every text that it has warned of: a client could fill its memory."""
    for category in (BadContentDispositionHeader, BadContentDispositionParam):
        warnings.filterwarnings("ignore", category=category)


def open_form(request: web.Request) -> Form:
    """Begin to read. Raises `Refused` 413 by the header, 400 without a boundary."""
    site = site_of(request)
    refuse_large(request, site.options.scene_bytes_max)
    try:
        reader = MultipartReader(request.headers, request.content)
    except (ValueError, AssertionError):
        raise Refused(400, "bad_form", "the form's Content-Type has no boundary") from None
    return Form(request, site, reader)


def parse_disposition(header: str) -> tuple[str, str | None]:
    """(name, filename) of `form-data; name="asset"; filename="textures/wood.png"` (RFC 7578, and the WHATWG's escapes).

    Read here because aiohttp strips leading slashes and warns instead of failing; an absolute name has to be seen to be
    refused. Raises `Refused` 400 (`bad_form`).
    """
    kind, _, rest = header.partition(";")
    if kind.strip().lower() != "form-data":
        raise Refused(400, "bad_form", "a part has no Content-Disposition: form-data")
    values: dict[str, str] = {}
    while rest.strip():
        key, mark, rest = rest.partition("=")
        if not mark:
            raise Refused(400, "bad_form", "a part's Content-Disposition cannot be read")
        value, rest = _value(rest.lstrip())
        values.setdefault(key.strip().lower(), value)
    if any("\ud800" <= char <= "\udfff" for value in values.values() for char in value):
        raise Refused(400, "bad_form", "a part's name is not UTF-8")
    if "name" not in values:
        raise Refused(400, "bad_form", "a part has no name")
    return values["name"], values.get("filename")


def _value(text: str) -> tuple[str, str]:
    """(value, the rest after its semicolon) of a token or a quoted string."""
    if not text.startswith('"'):
        value, _, rest = text.partition(";")
        return value.strip(), rest
    out: list[str] = []
    at, escaped = 1, False
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and text[at + 1 : at + 2] in ('"', "\\"):
            at, escaped = at + 1, True
        out.append(text[at])
        at += 1
    if at >= len(text):
        raise Refused(400, "bad_form", "a part's Content-Disposition cannot be read")
    value = "".join(out)
    if not escaped:  # who escapes as RFC 9110 does means a percent sign where there is one
        value = value.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
    return value, text[at + 1 :].partition(";")[2]
