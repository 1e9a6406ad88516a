"""peerctl completion: the script that teaches a shell our verbs."""

from __future__ import annotations

import click

from peer.cli.invocation import Invocation
from peer.cli.options import common, examples


@click.command(
    epilog=examples('eval "$(peerctl completion bash)"', "peerctl completion fish > ~/.config/fish/completions/peerctl.fish")
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common
def completion(invocation: Invocation, shell: str) -> None:
    """Print the completion script for SHELL."""
    from click.shell_completion import get_completion_class

    from peer.cli.commands import root

    maker = get_completion_class(shell)
    assert maker is not None, shell
    invocation.screen.data(maker(root, {}, "peerctl", "_PEERCTL_COMPLETE").source().rstrip())
