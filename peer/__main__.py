"""`peerd`: one peer in the foreground."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from peer import lean
from peer.config import parse_peerd
from peer.daemon import Daemon
from peer.instead import line_that_works
from peer.ports import StoreBroken
from peer.store.errors import StoreUnusable
from peer.telemetry.logs import configure
from protocol.errors import Refusal


def main() -> None:
    """Read the settings, run the peer, end with 0 after a drain, 2 when it could not start, 1 when it broke."""
    settings = parse_peerd()
    lean.shrink_tls_buffers()
    configure(form=settings.log_format, level=settings.log_level)
    try:
        asyncio.run(Daemon(settings).run())
    except (StoreUnusable, Refusal, OSError) as error:
        print(f"peerd: {error}", file=sys.stderr)
        instead = line_that_works(error, settings, sys.argv[1:], home=Path.home())
        if instead is not None:
            print(f"peerd: this works: {instead}", file=sys.stderr)
        sys.exit(2)
    except StoreBroken as error:
        print(f"peerd: the store cannot be trusted: {error}", file=sys.stderr)
        sys.exit(2)
    except BaseExceptionGroup as group:
        broken, rest = group.split(StoreBroken)
        if broken is None or rest is not None:
            raise
        print(f"peerd: the store cannot be trusted any more: {_first(broken)}", file=sys.stderr)
        sys.exit(1)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


if __name__ == "__main__":
    main()
