"""Showing something once, or again and again until Ctrl-C: redrawn on a terminal, only when it changed elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from peer.cli import bounds
from peer.cli.failures import Unreachable

if TYPE_CHECKING:
    from peer.cli.invocation import Invocation

T = TypeVar("T")
_HOME_AND_CLEAR: Final = "\x1b[H\x1b[2J"


def repeat(invocation: Invocation, read: Callable[[], T], show: Callable[[T], None], *, watch: bool) -> None:
    """Read and show; with `watch` until interrupted, through times in which no peer answers."""
    last = read()
    show_fresh(invocation, last, show, watch=watch)
    while watch:
        time.sleep(bounds.WATCH_S)
        try:
            current = read()
        except Unreachable as error:
            invocation.screen.say(f"{error}; trying again")
            continue
        if current != last:
            show_fresh(invocation, current, show, watch=watch)
            last = current


def show_fresh(invocation: Invocation, value: T, show: Callable[[T], None], *, watch: bool) -> None:
    """Show on a clean screen where a person watches a table."""
    if watch and invocation.screen.out_is_terminal and invocation.format in ("table", "wide"):
        invocation.screen.data(_HOME_AND_CLEAR)
    show(value)
