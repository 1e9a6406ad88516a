"""peerctl: the list of verbs, loaded on demand, and the one place where an exception becomes an exit code.

click carries the command line: its groups load a verb's module when that verb is called (Typer's do not, and it takes
twice as long to import). `--version` is answered before click is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

PROGRAM: Final = "peerctl"

# verb -> module below peer.cli.verbs and the command in it
VERBS: Final[Mapping[str, str]] = {
    "status": "status:status",
    "submit": "submit:submit",
    "inspect": "inspect:inspect",
    "resubmit": "resubmit:resubmit",
    "jobs": "jobs:jobs",
    "job": "job:job",
    "pause": "control:pause",
    "resume": "control:resume",
    "cancel": "control:cancel",
    "retry": "control:retry",
    "priority": "control:priority",
    "rm": "control:rm",
    "frames": "frames:frames",
    "logs": "logs:logs",
    "fetch": "fetch:fetch",
    "why": "why:why",
    "peers": "peers:peers",
    "peer": "peers:peer",
    "drain": "peers:drain",
    "undrain": "peers:undrain",
    "readmit": "peers:readmit",
    "ping": "ping:ping",
    "events": "events:events",
    "whoami": "whoami:whoami",
    "token": "token:token",
    "keys": "keys:keys",
    "trust": "trust:trust",
    "config": "config:config",
    "doctor": "doctor:doctor",
    "keygen": "keygen:keygen",
    "completion": "completion:completion",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run peerctl and exit with a code of its contract."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given == ["--version"]:
        print(f"{PROGRAM} {version()}")
        raise SystemExit(0)
    raise SystemExit(run(given))


def version() -> str:
    """The version of the installed distribution."""
    from importlib import metadata

    try:
        return metadata.version("rendermesh")
    except metadata.PackageNotFoundError:
        return "0 (run from a source tree that is not installed)"


def run(given: Sequence[str]) -> int:
    """Run one verb and return its exit code; every failure is said on stderr."""
    import click

    from peer.cli.commands import root
    from peer.cli.failures import CliError, Exit
    from peer.cli.screen import Screen

    try:
        result = root.main(args=list(given), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except CliError as error:
        Screen().fail(error)
        return int(error.exit_code)
    except click.UsageError as error:
        _usage(error)
        return int(Exit.USAGE)
    except click.ClickException as error:
        error.show()
        return int(Exit.ERROR)
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return int(Exit.INTERRUPTED)
    except UnicodeEncodeError as error:  # half of a surrogate pair stands for a byte of an argument
        Screen().fail(CliError(Exit.USAGE, f"{error.object[error.start : error.end]!r} is not UTF-8"))
        return int(Exit.USAGE)
    except RecursionError:
        Screen().fail(CliError(Exit.ERROR, "the peer's answer is nested too deeply", remedy="is it a peer's user port?"))
        return int(Exit.ERROR)
    except OSError as error:
        _forget_stdout()
        if not isinstance(error, BrokenPipeError):
            Screen().fail(
                CliError(
                    Exit.ERROR, "the output could not be written", why=str(error), remedy="free space there, or write elsewhere"
                )
            )
        return int(Exit.ERROR)
    return result if isinstance(result, int) else int(Exit.OK)


def _usage(error: object) -> None:
    import click

    from peer.cli.screen import plain

    assert isinstance(error, click.UsageError)
    path = error.ctx.command_path if error.ctx is not None else PROGRAM
    print(f"error: {plain(error.format_message())}\n  next: {path} --help", file=sys.stderr)


def _forget_stdout() -> None:
    """The reader has gone; without this the interpreter would complain about it while it ends."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
