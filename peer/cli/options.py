"""The flags that every verb takes, and the invocation that they make."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

import click

from peer.cli.invocation import Invocation, OutputFormat
from peer.cli.tables import FORMATS

P = ParamSpec("P")


def common(verb: Callable[Concatenate[Invocation, P], None]) -> Callable[..., None]:
    """Give a verb -H, --cacert, -o and --json, and an `Invocation` as its first argument."""

    @wraps(verb)
    @click.pass_context
    def run(context: click.Context, /, *args: Any, **kwargs: Any) -> None:
        above = context.find_object(Invocation) or Invocation()
        hosts = cast(tuple[str, ...], kwargs.pop("hosts"))
        output = cast(OutputFormat | None, "json" if kwargs.pop("as_json") else kwargs.pop("output"))
        kwargs.pop("output", None)
        verb(above.overridden(hosts=hosts, cacert=kwargs.pop("cacert"), output=output), *args, **kwargs)

    return _flags(run)


def _flags(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="The same as -o json."),
        click.option("-o", "output", type=click.Choice(FORMATS), help="How to print; table by default."),
        click.option("--cacert", metavar="FILE", help="The authority (PEM) that verifies the hosts."),
        click.option(
            "-H", "--host", "hosts", multiple=True, metavar="HOST", help="A peer (repeat: the next is tried when one is down)."
        ),
    ):
        function = option(function)
    return function


def examples(*lines: str) -> str:
    """The epilog of a verb: lines that work as they stand."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


map_option = click.option(
    "--map",
    "rules",
    multiple=True,
    metavar="FROM=TO",
    help="What the scene knows below the folder FROM lies below TO on this machine (repeat).",
)
job_argument = click.argument("job", metavar="JOB")
peer_argument = click.argument("peer", metavar="PEER")
