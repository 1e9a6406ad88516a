"""The root command: its verbs are imported when they are called."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import click

from peer.cli.invocation import Invocation, OutputFormat
from peer.cli.main import PROGRAM, VERBS, version
from peer.cli.options import examples
from peer.cli.tables import FORMATS


class LazyVerbs(click.Group):
    """A group whose commands stand in `VERBS`; listing them imports all, calling one imports one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of their listing."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        place = VERBS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        return cast(click.Command, getattr(import_module(f"peer.cli.verbs.{module}"), name))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; an unknown one is told the nearest known one."""
        if args and args[0] not in VERBS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no verb {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"{PROGRAM} {version()}")
        context.exit()


@click.group(
    cls=LazyVerbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=examples(
        "peerctl status",
        "peerctl submit castle.blend -f 1-48 --wait --fetch frames",
        "peerctl -H render1:7700 -H render2:7700 jobs -o wide",
    ),
)
@click.option("-H", "--host", "hosts", multiple=True, metavar="HOST", help="A peer (repeat: the next is tried when one is down).")
@click.option("--cacert", metavar="FILE", help="The authority (PEM) that verifies the hosts.")
@click.option("-o", "output", type=click.Choice(FORMATS), help="How to print; table by default.")
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version and end.")
@click.pass_context
def root(context: click.Context, hosts: tuple[str, ...], cacert: str | None, output: str | None, as_json: bool) -> None:
    """Use a mesh of render peers: submit scenes, watch them, fetch the frames.

    JOB is an id, a unique prefix of one, a name, or @last. Without -H (or PEERCTL_HOST, comma separated) the peer of this
    account is asked, else 127.0.0.1:7700, else one that mDNS finds (PEERCTL_DISCOVERY=none: never).
    A token comes from PEERCTL_TOKEN or PEERCTL_TOKEN_FILE.

    Exit codes: 0 ok, 1 error or job failed, 2 usage, 3 not found, 4 unauthorised, 5 conflict, 6 busy or limited,
    7 unreachable, 8 timed out, 9 some frames failed or held, 10 refused by validation, 130 interrupted.
    """
    context.obj = Invocation(hosts=hosts, cacert=cacert, output=cast(OutputFormat | None, "json" if as_json else output))
