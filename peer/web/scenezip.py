"""A scene that came as a zip: which files are in it, and their bytes.

Decides what such a zip may hold: plain files under names that stay below its folder, no two of one name, no more bytes than
were allowed. Refuses to know where the bytes go. Everything here blocks, for a thread to run; a lock keeps the clean-up of a
cancelled caller from overtaking the read that it left behind.

The directory at the zip's end is what counts. Every file's own header must agree with it, and no two files may share bytes of
the zip: so its length bounds what can be read, whatever it says of itself.
"""

from __future__ import annotations

import errno
import stat
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from protocol import limits
from protocol.errors import Invalid
from protocol.jobs.manifest import check_side_by_side, clean_name

MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06")  # with a file in it, and empty
_ENTRY: Final = b"PK\x01\x02"
_HEADER: Final = struct.Struct("<4s5H3I2H")
_MANY_BYTES: Final = 46 * limits.ZIP_MEMBERS_MAX  # a directory of so many has more
_NO_SIZE: Final = 0xFFFFFFFF  # the length stands in a further field
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_SIZES_FOLLOW: Final = 0x8
_UTF8: Final = 0x800
_METHODS: Final = (ZIP_STORED, ZIP_DEFLATED)  # the other ones unpack as much as they like at a time
_BROKEN: Final = (BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError)
_CUT: Final = "it is cut short or damaged; make it anew"


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the zip. `size` in bytes, unpacked."""

    name: str
    size: int
    info: ZipInfo


class SceneZip:
    """Invariant: `members` may be laid out together as they are; what is read of one has its size and its checksum."""

    def __init__(self, file: IO[bytes], *, bytes_max: int) -> None:
        """Read the directory of `file`, which is closed with this. Raises `Invalid` (`bad_zip`, `zip_too_large`,
        `bad_file_name`, `bad_manifest`) for a zip that will not be unpacked, `OSError`."""
        self._file = _Source(file)
        self._lock = threading.Lock()
        self._closed = False
        with _reading("the directory"):
            self._zip = ZipFile(self._file)
            self.members: Sequence[Member] = _members(self._zip, self._file, bytes_max)

    def check(self) -> Iterator[None]:
        """Read everything once, in steps that take a moment each. Raises `Invalid` (`bad_zip`), `OSError`."""
        read = 0
        for member in self.members:
            for piece in self.pieces(member):
                read += len(piece)
                if read >= limits.SMALL_FILES_BYTES_MAX:
                    read = 0
                    yield

    def few(self, start: int) -> list[tuple[str, bytes]]:
        """Name and bytes of small files from `members[start]` on, up to the first large one: as many as may be held at a time."""
        found: list[tuple[str, bytes]] = []
        held = 0
        for member in self.members[start : start + limits.SMALL_FILES_MAX]:
            if not is_small(member) or held >= limits.SMALL_FILES_BYTES_MAX:
                break
            found.append((member.name, b"".join(self.pieces(member))))
            held += member.size
        return found

    def pieces(self, member: Member) -> Iterator[bytes]:
        """The bytes of a file, in order. Raises `Invalid` (`bad_zip`), `OSError`."""
        size = 0
        with _reading(repr(member.name[:80])), self._zip.open(member.info) as file:
            while piece := self._piece(file):
                size += len(piece)
                yield piece
            if size != member.size:
                raise BadZipFile("fewer bytes than it says")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._closed = True
            self._zip.close()
            self._file.close()

    def _piece(self, file: IO[bytes]) -> bytes:
        with self._lock:
            if self._closed:
                raise EOFError
            return file.read(limits.BLOB_CHUNK_BYTES)


def open_zip(path: Path, *, bytes_max: int) -> SceneZip:
    """The zip in a file. Raises as `SceneZip` does."""
    file = path.open("rb")
    try:
        return SceneZip(file, bytes_max=bytes_max)
    except BaseException:
        file.close()
        raise


def is_small(member: Member) -> bool:
    """Whether it is taken in with others."""
    return member.size <= limits.SMALL_FILE_BYTES_MAX


def choose_main(names: Sequence[str], wanted: str | None, is_scene: Callable[[str], bool]) -> str:
    """The file of a zip that is the scene. Raises `Invalid` (`no_scene`, `several_scenes`, `no_such_main`) naming them all."""
    scenes = sorted(filter(is_scene, names))
    listed = ", ".join(scenes[: limits.ZIP_SCENES_NAMED]) + (", ..." if len(scenes) > limits.ZIP_SCENES_NAMED else "")
    if wanted is not None:
        if wanted not in names:
            raise Invalid("no_such_main", f"the zip has no file {wanted!r}; its scenes are: {listed or 'none'}")
        return wanted
    if not scenes:
        raise Invalid("no_scene", "the zip has no scene in it, such as a .blend")
    if len(scenes) > 1:
        raise Invalid("several_scenes", f"the zip has {len(scenes):,} scenes; say which with main=NAME: {listed}")
    return scenes[0]


class _Source:
    """What `ZipFile` reads from: it would take a whole directory into memory, however long."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = file.seek(0, 2)
        self.seekable, self.tell, self.close = file.seekable, file.tell, file.close

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        most = limits.ZIP_DIRECTORY_BYTES_MAX
        data = self._file.read(most + 1 if size < 0 else min(size, most + 1))
        if len(data) > most or (len(data) > _MANY_BYTES and data.count(_ENTRY) > limits.ZIP_MEMBERS_MAX):
            raise Invalid("zip_too_large", f"a zip holds at most {limits.ZIP_MEMBERS_MAX:,} files, under names of a usual length")
        return data


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """The library has many ways to say that a zip is broken."""
    try:
        yield
    except _BROKEN as fault:
        said = str(fault) if isinstance(fault, BadZipFile) else ""
        raise _bad(f"{what} cannot be read from the zip: {_CUT}" + (f" ({said[:200]})" if said else "")) from None
    except OSError as fault:
        if fault.errno != errno.EINVAL:  # that is how a place before the beginning is refused
            raise
        raise _bad(f"{what} cannot be read from the zip: {_CUT}") from None


def _bad(text: str) -> Invalid:
    return Invalid("bad_zip", text)


def _members(zipped: ZipFile, source: _Source, bytes_max: int) -> list[Member]:
    """The files to unpack: small ones first. Folders make themselves, and what systems leave in zips is nobody's."""
    infos = zipped.infolist()
    _check_places(zipped, source, infos)
    members = [Member(name, info.file_size, info) for info in infos if (name := _name_of(info)) is not None]
    for member in members:
        _check_content(member)
    if len(members) > limits.FILES_PER_MANIFEST_MAX:
        raise Invalid("zip_too_large", f"the zip has {len(members):,} files; a scene at most {limits.FILES_PER_MANIFEST_MAX:,}")
    total = sum(member.size for member in members)
    if total > bytes_max:
        raise Invalid("zip_too_large", f"the zip unpacks to {total:,} bytes; this peer takes at most {bytes_max:,}")
    if total > limits.ZIP_TRUSTED_BYTES and total > source.size * limits.ZIP_RATIO_MAX:
        most = f"more than {limits.ZIP_RATIO_MAX} times its length"
        raise Invalid("zip_too_large", f"the zip unpacks to {total:,} bytes, {most}; send the files themselves")
    check_side_by_side([member.name for member in members])
    return sorted(members, key=lambda member: not is_small(member))


def _name_of(info: ZipInfo) -> str | None:
    """A file's name; None for what is no file, or not meant to travel. Raises `Invalid` (`bad_file_name`, `bad_zip`)."""
    text = info.orig_filename
    if not info.flag_bits & _UTF8 and not text.isascii():
        with suppress(UnicodeError):
            text = text.encode("cp437").decode("utf-8")  # many programs write UTF-8 without saying so
    if text in ("./", ".\\"):
        return None
    name = clean_name(text)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        raise _bad(f"{name[:80]!r} in the zip is {what}; put in the files themselves")
    if text.endswith(("/", "\\")) or kind == stat.S_IFDIR:
        return None
    return None if name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store" else name


def _check_content(member: Member) -> None:
    if member.info.flag_bits & _ENCRYPTED:
        raise _bad(f"{member.name[:80]!r} in the zip is encrypted; pack it without a password")
    if member.info.compress_type not in _METHODS:
        method = member.info.compress_type
        raise _bad(f"{member.name[:80]!r} in the zip is compressed by method {method}; only stored and deflated files are taken")


def _check_places(zipped: ZipFile, source: _Source, infos: Sequence[ZipInfo]) -> None:
    """Each file has bytes of its own, before the directory, behind a header that says the same as the directory."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise BadZipFile("files overlap")
        source.seek(info.header_offset)
        head = source.read(_HEADER.size)
        signature, _, flags, method, _, _, _, packed, size, name_length, extra_length = _HEADER.unpack(head)
        if signature != MAGIC[0] or method != info.compress_type or (flags ^ info.flag_bits) & (_ENCRYPTED | _UTF8):
            raise BadZipFile("a file's header and the directory differ")
        if not flags & _SIZES_FOLLOW and not (_agree(packed, info.compress_size) and _agree(size, info.file_size)):
            raise BadZipFile("a file's header and the directory say different sizes")
        if info.compress_type == ZIP_STORED and not info.flag_bits & 1 and info.compress_size != info.file_size:
            raise BadZipFile("a stored file has two sizes")
        end = info.header_offset + _HEADER.size + name_length + extra_length + info.compress_size
    if end > zipped.start_dir:
        raise BadZipFile("files overlap the directory")


def _agree(said: int, meant: int) -> bool:
    return said in (meant, _NO_SIZE)
