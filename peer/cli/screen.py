"""The two streams: stdout carries data, stderr carries messages. Nothing that a peer says reaches a terminal unescaped."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from peer.cli.failures import CliError

CONTRACT = "peerctl/v1"  # raised when a JSON output loses or renames a field


def plain(text: object) -> str:
    """`text` on one line with its control characters made visible: a job's name must not move the cursor."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(text))


class Screen:
    """stdout and stderr. Consoles are made (and rich imported) when first used."""

    @property
    def out_is_terminal(self) -> bool:
        """Whether a person reads stdout."""
        return sys.stdout.isatty()

    @property
    def err_is_terminal(self) -> bool:
        """Whether a person reads stderr."""
        return sys.stderr.isatty()

    def data(self, text: str) -> None:
        """Lines of data, at once. They are written one by one: CPython forgets a broken pipe in mid-way of a large write."""
        sys.stdout.writelines(f"{line}\n" for line in text.split("\n"))
        sys.stdout.flush()

    def document(self, kind: str, content: Mapping[str, Any], *, compact: bool = False) -> None:
        """A JSON document of the contract: the peer's fields with `apiVersion` and `kind` before them."""
        whole = {"apiVersion": CONTRACT, "kind": kind, **content}
        self.data(json.dumps(whole) if compact else json.dumps(whole, indent=2))

    def say(self, text: str) -> None:
        """One line of message."""
        sys.stderr.write(f"peerctl: {text}\n" if text else "\n")
        sys.stderr.flush()

    def fail(self, error: CliError) -> None:
        """An error: what happened, why, and what to do next."""
        lines = [f"error: {plain(error.what)}"]
        lines += [f"  code: {plain(error.code)}"] if error.code else []
        lines += [f"  why:  {plain(error.why)}"] if error.why else []
        lines += [f"  next: {plain(error.remedy)}"] if error.remedy else []
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()

    def out_console(self) -> Console:
        """Rich on stdout; honours NO_COLOR. Where nobody watches, lines are never cut."""
        from rich.console import Console

        return Console(
            file=sys.stdout, highlight=False, markup=False, emoji=False, width=None if self.out_is_terminal else 10_000
        )

    def err_console(self) -> Console:
        """Rich on stderr; honours NO_COLOR."""
        from rich.console import Console

        return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
