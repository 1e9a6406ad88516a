"""Which files a POV-Ray scene reads and writes, by its text alone: a tokenizer for the scene language, no interpreter.

Decides what counts as a file's name. Runs in the driver and in peerctl: standard library only, and nothing of the daemon.
Branches that are never taken count too, and names that are put together (`concat`) are only counted: what really happens is
known to POV-Ray alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

TEXT_BYTES_MAX: Final = 256 * 2**20
INI_BYTES_MAX: Final = 2**18
FILES_MAX: Final = 2_000  # includes that are read
USES_MAX: Final = 20_000

# what is read after one of these words, or after the brace behind it
_IMAGES: Final = frozenset({"gif", "tga", "iff", "ppm", "pgm", "png", "jpeg", "tiff", "sys", "pot", "hdr", "exr"})
_HOLDERS: Final = frozenset({"image_map", "bump_map", "material_map", "image_pattern", "height_field"})
_KINDS: Final = {"df3": "volume", "ttf": "font", "load_file": "file", "include": "include"}
_EXTENSIONS: Final = {"include": (".inc",), "font": (".ttf",), "volume": (".df3",), "image": (".png",), "file": ()}
_TOKEN: Final = re.compile(
    r"""(?P<skip>[\s,;<>()+.\d-]++(?:[eE][\s,;<>()+.\d-]++)*+|//[^\n]*|/\*)
      | "(?P<text>(?:[^"\\\n]|\\.)*+)"?
      | (?P<word>\#\s*[A-Za-z_]+|[A-Za-z_]\w*)
      | (?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"/\*|\*/")
# with several threads the pixels of these depend on which thread comes first
UNSTEADY: Final = frozenset({"radiosity", "jitter", "crand", "subsurface"})


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """A file that is read: `kind` is include, image, font, volume or file; `name` is as written."""

    kind: str
    name: str


@dataclass(slots=True)
class Scan:
    """What one text says. `computed` counts names that are put together; `words` are those of `UNSTEADY` that stand in it."""

    uses: dict[Use, None] = field(default_factory=dict)
    writes: dict[str, None] = field(default_factory=dict)
    computed: int = 0
    words: set[str] = field(default_factory=set)
    camera: bool = False


@dataclass(slots=True)
class Walk:
    """What a scene and its includes say together; `found` are its files, `missing` what is nowhere."""

    found: dict[Path, Use] = field(default_factory=dict)
    missing: dict[Use, None] = field(default_factory=dict)
    writes: dict[str, None] = field(default_factory=dict)
    computed: int = 0
    words: set[str] = field(default_factory=set)
    camera: bool = False


def scan(text: str) -> Scan:
    """Read one text."""
    tokens = list(_tokens(text))
    declared = _declared(tokens)
    seen = Scan()
    for at, (kind, value) in enumerate(tokens):
        if kind != "word":
            continue
        word = value.lstrip("# ").lower()
        seen.camera |= word == "camera"
        if word in UNSTEADY:
            seen.words.add(word)
        if value.startswith("#") and word == "fopen":
            _opened(tokens, at, declared, seen)
        elif word == "save_file":
            seen.writes.update(dict.fromkeys(_names(tokens, at + 1, declared)))
        elif (what := _kind(tokens, at, value, word)) is not None:
            _read(tokens, _behind(tokens, at, word), what, declared, seen)
    return seen


def walk(main: Path, find: Callable[[Use], Path | None], is_ours: Callable[[Path], bool]) -> Walk:
    """Read the scene and every include that `find` leads to and that `is_ours`; a library of POV-Ray's own is only found."""
    seen, queue = Walk(), [main]
    done = {main}
    while queue and len(done) <= FILES_MAX:
        one = scan(read_text(queue.pop(0)))
        seen.writes |= one.writes
        seen.computed += one.computed
        seen.words |= one.words
        seen.camera |= one.camera
        for use in islice(one.uses, USES_MAX - len(seen.found) - len(seen.missing)):
            path = find(use)
            if path is None:
                seen.missing[use] = None
            elif path not in done:
                seen.found[path] = use
                if use.kind == "include" and is_ours(path):
                    done.add(path)
                    queue.append(path)
    for use in [use for use in seen.missing if use.name in seen.writes]:
        del seen.missing[use]  # it makes that file itself
    return seen


def read_text(path: Path, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """The beginning of a text of any encoding; what cannot be read is empty."""
    try:
        with path.open("rb") as file:
            return file.read(bytes_max).decode("latin-1")
    except OSError:
        return ""


def candidates(use: Use) -> Iterator[str]:
    """The names under which POV-Ray would look, with forward slashes."""
    name = use.name.replace("\\", "/")
    yield name
    if not PurePosixPath(name).suffix:
        yield from (name + extension for extension in _EXTENSIONS[use.kind])


def finder(folders: list[Path]) -> Callable[[Use], Path | None]:
    """Looks for a file in each folder in turn, as POV-Ray does along its library paths."""

    def find(use: Use) -> Path | None:
        for name in candidates(use):
            for folder in folders:
                try:
                    if (folder / name).is_file():
                        return folder / name
                except (OSError, ValueError):  # a name that no file can have
                    continue
        return None

    return find


Token = tuple[str, str]


def _tokens(text: str) -> Iterator[Token]:
    """Without numbers and what stands between them: a mesh of some million points is a few tokens. Equal ones are one object."""
    at, known = 0, dict[Token, Token]()
    while (match := _TOKEN.match(text, at)) is not None:
        at = match.end()
        if match["skip"] == "/*":
            at = _after_comment(text, at)
        elif match.lastgroup != "skip" and match.lastgroup is not None:
            token = (match.lastgroup, match[match.lastgroup])
            yield known.setdefault(token, token)


def _after_comment(text: str, at: int) -> int:
    """Comments nest."""
    depth = 1
    while depth and (mark := _COMMENT.search(text, at)) is not None:
        depth += 1 if mark[0] == "/*" else -1
        at = mark.end()
    return at if depth == 0 else len(text)


def _declared(tokens: list[Token]) -> dict[str, list[str]]:
    """Identifiers that are declared as plain strings: `#declare Skin = "skin.png";`."""
    found: dict[str, list[str]] = {}
    for one, two, three, four in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        is_declared = one[0] == "word" and one[1].lstrip("# ").lower() in ("declare", "local")
        if is_declared and two[0] == "word" and three == ("mark", "=") and four[0] == "text":
            found.setdefault(two[1], []).append(four[1])
    return found


def _names(tokens: list[Token], at: int, declared: dict[str, list[str]]) -> list[str]:
    """The names that stand at a place; none where one is put together."""
    kind, value = tokens[at] if at < len(tokens) else ("", "")
    if kind == "text":
        return [value]
    return declared.get(value, []) if kind == "word" else []


def _kind(tokens: list[Token], at: int, value: str, word: str) -> str | None:
    """What a word that stands before a file's name reads; None for any other word."""
    before = tokens[at - 1] if at else ("", "")
    behind = tokens[at + 1] if at + 1 < len(tokens) else ("", "")
    if word == "include":
        return "include" if value.startswith("#") else None
    if word in _IMAGES and (before == ("mark", "{") or behind[0] == "text"):
        return "image"
    if word in _HOLDERS and behind == ("mark", "{") and at + 2 < len(tokens) and tokens[at + 2][0] == "text":
        return "image"
    return _KINDS.get(word)


def _behind(tokens: list[Token], at: int, word: str) -> int:
    return at + 2 if word in _HOLDERS else at + 1


def _read(tokens: list[Token], at: int, kind: str, declared: dict[str, list[str]], seen: Scan) -> None:
    names = _names(tokens, at, declared)
    seen.computed += not names
    seen.uses.update((Use(kind, name), None) for name in names)


def _opened(tokens: list[Token], at: int, declared: dict[str, list[str]], seen: Scan) -> None:
    """`#fopen HANDLE "name" read`, or write, or append."""
    names = _names(tokens, at + 2, declared)
    mode = next((value.lower() for kind, value in tokens[at + 3 : at + 40] if value.lower() in ("read", "write", "append")), "")
    if mode == "read":
        seen.computed += not names
        seen.uses.update((Use("file", name), None) for name in names)
    else:
        seen.writes.update(dict.fromkeys(names or ["(a computed name)"]))
