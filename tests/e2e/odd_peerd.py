"""A `peerd` whose null renderer stands for Cycles on some processor: `python odd_peerd.py KERNEL PICTURES [peerd's arguments]`.

PICTURES is `right`, `rounded` (each sample one step off, as of a processor that rounds otherwise) or `wrong`. Test code only:
what is replaced here is replaced in this process alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from peer import daemon
from peer.__main__ import main
from peer.render import null
from protocol.audit import comparing

draw = null.draw


def odd(path: Path, size: tuple[int, int], lines: list[str], pictures: str) -> None:
    """Draw as the null renderer does, then spoil it."""
    draw(path, size, ["WRONG" if pictures == "wrong" else line for line in lines[:1]] + lines[1:])
    if pictures == "rounded":
        with Image.open(path) as image:
            image.point([min(value + 1, 255) for value in range(256)] * 3).save(path, "PNG")


if __name__ == "__main__":
    kernel, pictures, *rest = sys.argv[1:]
    comparing._PORTABLE, comparing._PROCESSOR = "", "null"  # type: ignore[misc]  # null jobs name no engine
    vars(daemon)["cpu_kernel"] = lambda: kernel
    null.draw = lambda path, size, lines: odd(path, size, lines, pictures)
    sys.argv = ["peerd", *rest]
    main()
