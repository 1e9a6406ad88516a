"""The first file that runs in the renderer's process, by its path: finds its siblings, loads Blender, answers commands.

Arguments after `--`: descriptor of commands, descriptor of reports, the token that marks the log. Decides nothing else.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

MISSING_EXIT = 18
"""Exit code when Blender's module cannot be imported; the reason has been reported before."""


def lend_names(folder: Path) -> None:
    """Make `peer.render.driver.*` importable from `folder` alone: nothing else of the daemon exists in this process."""
    for name, paths in (("peer", []), ("peer.render", []), ("peer.render.driver", [str(folder)])):
        module = types.ModuleType(name)
        module.__path__ = paths
        sys.modules[name] = module


def main(arguments: list[str]) -> None:
    """Serve until the pipe of commands closes."""
    lend_names(Path(__file__).resolve().parent)
    from peer.render.driver.channel import Channel, end_process

    channel = Channel(int(arguments[0]), int(arguments[1]), arguments[2])
    channel.beat()
    try:
        from peer.render.driver.loop import serve
    except ImportError as error:
        channel.send({"event": "missing", "text": str(error)})
        end_process(MISSING_EXIT)
    serve(channel)
    end_process(0)


if __name__ == "__main__":
    main(sys.argv[sys.argv.index("--") + 1 :])
