"""Decodes images, inside a limited child process: is the file whole, is it what was reported, which pixels are in it?

Run as `python -m peer.render.verify_child PARENT_PID` it speaks length-limited JSON lines on descriptors 0 and 1: one
request per line, one answer per line, in order. Imported by a script or a test, `pixel_hash(path)` is the same function.
Refuses to know jobs, frames and peers. The decoder is imported where it is used, so importing this module is cheap.

The pixel hash is BLAKE3-256 over the parts of the file in their order. Each part gives

1. a header: its length as 4 bytes little-endian, then JSON with sorted keys, no blanks, ASCII only:
   `{"channels":[[name,type],...],"data":[x,y,width,height],"display":[x,y,width,height],"name":name}`;
2. for each run of neighbouring channels of one type: the rows from top to bottom, in them the pixels from left to right,
   in them the run's channels, each sample at its native depth, little-endian.

Alpha stays as it is stored (not multiplied in), so that the bits of an 8-bit PNG are the ones that are hashed. Metadata,
compression and chunking of the file leave no trace.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from blake3 import blake3

from peer.render.confine import allow_cpu, die_with, limit, step_back
from peer.render.signatures import HEAD_BYTES, described, looks_like
from protocol import limits

FORMATS: Final = {
    "PNG": "png",
    "JPEG": "jpeg",
    "TIFF": "tiff",
    "WEBP": "webp",
    "OPEN_EXR": "openexr",
    "OPEN_EXR_MULTILAYER": "openexr",
    "BMP": "bmp",
    "TARGA": "targa",
    "TARGA_RAW": "targa",
    "IRIS": "sgi",
    "HDR": "hdr",
    "DPX": "dpx",
    "CINEON": "cineon",
}
"""Blender's names of formats, and the decoder's."""

_UNSIGNED: Final = frozenset({"targa"})
_ROWS_PER_BLOCK: Final = 32
_STEP: Final = limits.COMPARE_STEP
_OPEN_FILES_MAX: Final = 64
_NICENESS: Final = 5
_STARTED, _BROKEN = 0, 3


class Fault(Exception):
    """The file is not a whole image of the kind that was reported; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the renderer reported: pixels, channels and Blender's name of the format; 0 or an empty text is not compared."""

    width: int = 0
    height: int = 0
    channels: int = 0
    format: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a file: channels as (name, type), windows as (x, y, width, height) in pixels."""

    name: str
    channels: tuple[tuple[str, str], ...]
    data: tuple[int, int, int, int]
    display: tuple[int, int, int, int]
    tile: tuple[int, int]

    def header(self) -> bytes:
        """The part's header in the pixel hash, length first."""
        fields = {"name": self.name, "channels": self.channels, "data": self.data, "display": self.display}
        text = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        return len(text).to_bytes(4, "little") + text

    def runs(self) -> Iterator[tuple[int, int, str]]:
        """Neighbouring channels of one type, as (first, end, type)."""
        start = 0
        for kind, group in itertools.groupby(kind for _, kind in self.channels):
            end = start + sum(1 for _ in group)
            yield start, end, kind
            start = end


@dataclass(frozen=True, slots=True)
class Found:
    """What the whole decoding found. `nans` counts samples that are not a number, over all parts."""

    pixel_hash: str
    nans: int
    format: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Distance:
    """What a comparison found: whether the images agree, their greatest difference (infinite: they are of different make), and
    which share of the samples is more than a step apart."""

    agree: bool
    farthest: float
    apart: float


def pixel_hash(path: str | os.PathLike[str]) -> str:
    """The pixel hash of an image file, as the module's text defines it. Raises `Fault` when it does not decode fully."""
    return examine(path).pixel_hash


def examine(path: str | os.PathLike[str], expected: Expected = Expected()) -> Found:
    """Decode every part of the file, hash its pixels and count its NaNs; compare with `expected`.

    Dimensions and limits are compared before a part is decoded. Raises `Fault`.
    """
    name = os.fspath(path)
    _check_file(Path(name), expected.format)
    image = _open(name)
    try:
        kind = image.format_name()
        if expected.format and kind != _decoder(expected.format):
            raise Fault(f"is {described(kind)}, not {expected.format} as reported")
        parts: list[Part] = []
        digest, nans = blake3(), 0
        for part in _parts(image):
            _check_size(part, expected)
            parts.append(part)
            _check_channels(parts)
            nans += _digest_part(image, len(parts) - 1, part, digest)
    finally:
        image.close()
    _check_report(parts, expected)
    return Found(digest.hexdigest(), nans, kind, tuple(parts))


def compare(one: str, other: str, outliers: float) -> Distance:
    """How far apart the samples of two images are. Names of parts count, as they do in the pixel hash; raises `Fault`."""
    pictures = [_open(name) for name in (one, other)]
    try:
        alike = True
        farthest, apart, samples = 0.0, 0, 0
        for index, (mine, theirs) in enumerate(itertools.zip_longest(*map(_parts, pictures))):
            if mine is None or theirs is None or mine.header() != theirs.header():
                alike = False
                break
            for part in (mine, theirs):
                _check_size(part, Expected())
            most, count, total = _apart(pictures, index, mine, theirs)
            farthest, apart, samples = max(farthest, most), apart + count, samples + total
    finally:
        for picture in pictures:
            picture.close()
    agree = alike and samples > 0 and apart <= outliers * samples
    return Distance(agree, farthest if alike else math.inf, apart / samples if samples else 1.0)


def _apart(pictures: Sequence[Any], index: int, one: Part, other: Part) -> tuple[float, int, int]:
    """The greatest difference of one part's samples, in units of a value or of the sample above one; how many are more than a
    step apart, a lone NaN among them; how many there are."""
    import numpy as np

    rows = [
        _rows(picture, index, part, 0, len(part.channels), "float") for picture, part in zip(pictures, (one, other), strict=True)
    ]
    farthest, apart, samples = 0.0, 0, 0
    for mine, theirs in zip(*rows, strict=True):
        same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
        off = np.abs(mine - theirs) / np.maximum(np.maximum(np.abs(mine), np.abs(theirs)), 1.0)
        off = np.where(same, 0.0, np.where(np.isfinite(off), off, 1.0))
        farthest, apart, samples = max(farthest, float(off.max())), apart + int(np.count_nonzero(off > _STEP)), samples + off.size
    return farthest, apart, samples


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the input ends. A line that is too long or not ours ends the process: it is out of step."""
    while line := requests.readline(limits.VERIFY_LINE_BYTES_MAX):
        if not line.endswith(b"\n"):
            raise ValueError("a request without an end")
        allow_cpu(limits.VERIFY_CPU_S_MAX)
        answers.write(json.dumps(_answer(json.loads(line))).encode() + b"\n")
        answers.flush()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if "other" in request:
        return _compared(request)
    expected = Expected(request["width"], request["height"], request["channels"], request["format"])
    try:
        found = examine(request["path"], expected)
    except Fault as fault:
        return {"id": request["id"], "fault": _short(str(fault))}
    except MemoryError:
        return {"id": request["id"], "fault": "needs more memory to decode than an image may"}
    except Exception as error:  # a decoder's exception is a fault of the file; the process itself is still in step
        return {"id": request["id"], "fault": _short(f"cannot be decoded: {type(error).__name__}: {error}")}
    return {"id": request["id"], "pixel_hash": found.pixel_hash, "nans": found.nans}


def _compared(request: dict[str, Any]) -> dict[str, Any]:
    try:
        found = compare(request["path"], request["other"], request["outliers"])
    except MemoryError:
        return {"id": request["id"], "fault": "needs more memory to decode than an image may"}
    except Exception as error:  # these files were verified: whatever it is, nothing follows from it
        return {"id": request["id"], "fault": _short(f"cannot be compared: {type(error).__name__}: {error}")}
    farthest = found.farthest if math.isfinite(found.farthest) else -1.0
    return {"id": request["id"], "agree": found.agree, "farthest": farthest, "apart": found.apart}


def _decoder(reported: str) -> str:
    try:
        return FORMATS[reported.upper()]
    except KeyError:
        raise Fault(f"has the format {reported}, which cannot be verified here; choose one of {', '.join(FORMATS)}") from None


def _check_file(path: Path, reported: str) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise Fault("does not exist") from None
    except OSError as error:
        raise Fault(f"cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise Fault("is not a regular file")
    if status.st_size == 0:
        raise Fault("is empty (0 bytes)")
    if status.st_size > limits.IMAGE_FILE_BYTES_MAX:
        raise Fault(f"has {status.st_size} bytes, more than {limits.IMAGE_FILE_BYTES_MAX}")
    head, tail = _ends(path, status.st_size)
    kind = looks_like(head)
    wanted = _decoder(reported) if reported else kind
    if kind != wanted and wanted not in _UNSIGNED:
        raise Fault(f"is {described(kind)}, not {reported} as reported")
    _check_end(kind, head, tail, status.st_size)


def _ends(path: Path, size: int) -> tuple[bytes, bytes]:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            file.seek(max(0, size - HEAD_BYTES))
            return head, file.read(HEAD_BYTES)
    except OSError as error:
        raise Fault(f"cannot be read: {error.strerror}") from None


def _check_end(kind: str, head: bytes, tail: bytes, size: int) -> None:
    """Decoders forgive a missing end (PNG) or fill with grey (JPEG); a render that is cut off must not pass."""
    match kind:
        case "png":
            whole = tail.endswith(b"\x00\x00\x00\x00IEND\xae\x42\x60\x82")
        case "jpeg":
            whole = tail.endswith(b"\xff\xd9")
        case "webp":
            whole = int.from_bytes(head[4:8], "little") + 8 == size
        case _:
            whole = True
    if not whole:
        raise Fault("is truncated: its end is missing")


def _open(name: str) -> Any:
    import OpenImageIO as oiio

    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)
    image = oiio.ImageInput.open(name, config)
    if image is None:
        raise Fault(f"cannot be decoded: {_short(oiio.geterror())}")
    return image


def _parts(image: Any) -> Iterator[Part]:
    """One part after the other; each is to be decoded before the next is asked for (WebP cannot go back)."""
    for index in itertools.count():
        if not image.seek_subimage(index, 0):
            break
        if index == limits.IMAGE_PARTS_MAX:
            raise Fault(f"has more than {limits.IMAGE_PARTS_MAX} parts")
        yield _part(image.spec())
    image.geterror()  # seeking past the last part is how the end is found, not an error of the file


def _part(spec: Any) -> Part:
    if spec.deep:
        raise Fault("is a deep image, which cannot be verified")
    if spec.depth > 1:
        raise Fault("is a volume, not an image")
    formats = spec.channelformats or (spec.format,) * spec.nchannels
    return Part(
        name=spec.get_string_attribute("oiio:subimagename"),
        channels=tuple((str(name), str(kind)) for name, kind in zip(spec.channelnames, formats, strict=True)),
        data=(spec.x, spec.y, spec.width, spec.height),
        display=(spec.full_x, spec.full_y, spec.full_width, spec.full_height),
        tile=(spec.tile_width, spec.tile_height),
    )


def _check_channels(parts: Sequence[Part]) -> None:
    count = sum(len(part.channels) for part in parts)
    if count > limits.IMAGE_CHANNELS_MAX:
        raise Fault(f"has more than {limits.IMAGE_CHANNELS_MAX} channels")


def _check_report(parts: Sequence[Part], expected: Expected) -> None:
    """The reported number of channels is that of the first part or that of all parts together."""
    if not parts:
        raise Fault("has no image in it")
    counts = [len(part.channels) for part in parts]
    if expected.channels > 0 and expected.channels not in (counts[0], sum(counts)):
        raise Fault(f"has {counts[0]} channels, not {expected.channels} as reported")


def _check_size(part: Part, expected: Expected) -> None:
    """The data window or the display window is what was reported: a border render may store only its border."""
    _, _, width, height = part.data
    if width <= 0 or height <= 0:
        raise Fault("has no pixels")
    if max(width, height) > limits.IMAGE_SIDE_PX_MAX or width * height > limits.IMAGE_PIXELS_MAX:
        raise Fault(f"declares {width}x{height} pixels, more than an image may have")
    windows = (part.data[2:], part.display[2:])
    if expected.width > 0 and all(expected.width != wide for wide, _ in windows):
        raise Fault(f"is {width}x{height} pixels, not {expected.width}x{expected.height} as reported")
    if expected.height > 0 and all(expected.height != high for _, high in windows):
        raise Fault(f"is {width}x{height} pixels, not {expected.width}x{expected.height} as reported")


def _digest_part(image: Any, index: int, part: Part, digest: blake3) -> int:
    """Feed one part into the hash, some rows at a time so that memory stays bounded; the number of NaNs."""
    digest.update(part.header())
    nans = 0
    for first, end, kind in part.runs():
        for pixels in _rows(image, index, part, first, end, kind):
            nans += _nans(pixels, kind)
            digest.update(_little_endian(pixels))
    return nans


def _rows(image: Any, index: int, part: Part, first: int, end: int, kind: str) -> Iterator[Any]:
    x, y, width, height = part.data
    step = _rows_at_once(part)
    for top in range(y, y + height, step):
        bottom = min(top + step, y + height)
        if part.tile[0] > 0:
            pixels = image.read_tiles(index, 0, x, x + width, top, bottom, 0, 1, first, end, kind)
        else:
            pixels = image.read_scanlines(index, 0, top, bottom, 0, first, end, kind)
        _raise_error(image)
        if pixels is None or pixels.size != (bottom - top) * width * (end - first):
            raise Fault("is damaged or truncated: not every row decodes")
        yield pixels


def _rows_at_once(part: Part) -> int:
    """As many whole blocks of rows (compression blocks or tiles) as fit into a chunk of memory, at least one."""
    block = part.tile[1] if part.tile[0] > 0 else _ROWS_PER_BLOCK
    block_bytes = block * part.data[2] * len(part.channels) * 4
    return block * max(1, limits.VERIFY_CHUNK_BYTES // block_bytes)


def _nans(pixels: Any, kind: str) -> int:
    if kind not in ("half", "float", "double"):
        return 0
    import numpy as np

    return int(np.count_nonzero(np.isnan(pixels)))


def _little_endian(pixels: Any) -> bytes:
    if sys.byteorder == "big":
        pixels = pixels.byteswap()
    data: bytes = pixels.tobytes()
    return data


def _raise_error(image: Any) -> None:
    """A decoder that complains while it returns pixels has guessed some of them."""
    text = image.geterror()
    if text:
        raise Fault(f"is damaged or truncated: {_short(text)}")


def _short(text: str) -> str:
    return " ".join(text.split())[:400] or "no reason given"


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes under other numbers; descriptors 0 and 1 lead nowhere, since decoders' C code prints to them."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def _prepare() -> str:
    """Import the decoder and bound it; its name and version. Raises ImportError."""
    import OpenImageIO as oiio

    oiio.attribute("threads", 1)
    oiio.attribute("exr_threads", 1)
    oiio.attribute("limits:imagesize_MB", limits.IMAGE_PIXELS_MAX * 64 // 2**20)
    limit(memory_bytes=limits.VERIFY_MEMORY_BYTES_MAX, file_bytes=0, open_files=_OPEN_FILES_MAX)
    return f"OpenImageIO {oiio.VERSION_STRING}"


def main(parent_pid: int) -> int:
    """The child's life: limit itself, say that it is ready, answer until the pipe closes. Parent 0: somebody else watches."""
    if parent_pid:
        die_with(parent_pid)
    step_back(niceness=_NICENESS)
    requests, answers = _private_pipes()
    try:
        hello = {"ready": _prepare()}
    except (ImportError, OSError) as error:
        hello = {"broken": _short(str(error))}
    answers.write(json.dumps(hello).encode() + b"\n")
    answers.flush()
    if "broken" in hello:
        return _BROKEN
    serve(requests, answers)
    return _STARTED


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
