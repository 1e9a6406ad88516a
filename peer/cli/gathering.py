"""From a scene to the files that go with it: asks, packs, and says what is missing before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from peer.cli import bounds
from peer.cli.multipart import FilePart
from peer.cli.packing import Package, Packer, PathRule, is_outer, parse_rule
from peer.cli.povray import is_povray, pack
from peer.cli.screen import plain
from peer.cli.tables import Column, number, octets, print_table, text_of
from peer.cli.tracing import HOW, Traced, is_blend, trace
from peer.cli.upload import with_assets

if TYPE_CHECKING:
    from peer.cli.invocation import Invocation

_COLUMNS: Final = (
    Column("NAME", lambda row: text_of(row, "name")),
    Column("SIZE", lambda row: octets(number(row, "size"))),
    Column("PATH", lambda row: text_of(row, "path")),
)


def gathered(
    invocation: Invocation, scene: Path, assets: Sequence[str], rules: Sequence[str], *, alone: bool
) -> list[FilePart]:  # fmt: skip
    """The scene, what `assets` name, and unless it goes `alone` whatever else it uses. Raises `CliError`."""
    chosen, found = with_assets(scene, assets), [parse_rule(rule) for rule in rules]
    return chosen if alone else with_everything(invocation, scene, chosen, found)


def with_everything(
    invocation: Invocation, scene: Path, chosen: Sequence[FilePart], rules: Sequence[PathRule]
) -> list[FilePart]:  # fmt: skip
    """`chosen` (the scene first, then what was named by hand) and whatever else the scene uses. Raises `CliError`.

    A name that was given by hand wins. Any file that is neither a .blend nor POV-Ray's goes
    as it is: the mesh says what is wrong with it.
    """
    complaints: list[str] = []
    if is_blend(scene):
        packer = Packer(scene, rules)
        complaints = _look(packer, scene)
        package = packer.package()
    elif is_povray(scene):
        package = pack(scene)
    else:
        return list(chosen)
    by_hand = {file.name for file in chosen}
    _tell(invocation, package, complaints, by_hand)
    return [*chosen, *(file for name, file in sorted(package.files.items()) if name not in by_hand)]


def show(invocation: Invocation, files: Sequence[FilePart]) -> None:
    """What would be sent: names, sizes, and where each file lies."""
    rows = [{"name": file.name, "size": file.size, "path": "" if file.data is not None else str(file.path)} for file in files]
    match invocation.format:
        case "json":
            invocation.screen.document("Assets", {"files": rows, "size": sum(file.size for file in files)})
        case "name":
            invocation.screen.data("\n".join(plain(file.name) for file in files))
        case "table" | "wide":
            print_table(invocation.screen, rows, _COLUMNS, wide=invocation.format == "wide")
            invocation.screen.say(f"{_many(files)}, {octets(sum(file.size for file in files))}; nothing was sent")


def _look(packer: Packer, scene: Path) -> list[str]:
    """Ask about the scene, and about libraries that only we can find; what went wrong, or an empty list."""
    complaints: list[str] = []
    queue, seen = [scene], set[Path]()
    while queue and len(seen) < bounds.TRACED_LIBRARIES_MAX:
        blend = queue.pop(0)
        if blend in seen:
            continue
        seen.add(blend)
        found = trace(blend)
        packer.add(found)
        complaints += _complaints(found, blend)
        queue += packer.more()
    return complaints


def _complaints(found: Traced, blend: Path) -> list[str]:
    if found.asked == 0 and not found.complaints:
        return [f"nobody here can say which files {blend.name} uses: {HOW}"]
    return found.complaints if found.asked == 0 else []


def _tell(invocation: Invocation, package: Package, complaints: Sequence[str], by_hand: set[str]) -> None:
    say = invocation.screen.say
    for text in complaints:
        say(f"warning: {plain(text)}")
    for text in package.missing[: bounds.MISSING_SHOWN]:
        say(f"warning: missing {plain(text)}")
    more = len(package.missing) - bounds.MISSING_SHOWN
    if more > 0:
        say(f"warning: {more} more are missing")
    if package.missing:
        say("a job is held or fails over what is missing; --map FROM=TO tells where a folder lies on this machine")
    sent = [file for name, file in package.files.items() if name not in by_hand and file.data is None]
    if sent:
        size = octets(sum(file.size for file in sent))
        say(f"{_many(sent)} that it uses, {size}, along with it{_from_elsewhere(sent)} (submit --list-assets names all)")


def _many(files: Sequence[FilePart]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files):,} files"


def _from_elsewhere(files: Sequence[FilePart]) -> str:
    """A scene names any file of this machine: whoever sends it is told where it reaches."""
    outer = [file for file in files if is_outer(file.name)]
    if not outer:
        return ""
    folders = sorted({str(file.path.parent) for file in outer})
    more = len(folders) - bounds.FOLDERS_SHOWN
    named = ", ".join(plain(folder) for folder in folders[: bounds.FOLDERS_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"; {len(outer):,} from outside its folder: {named}"
