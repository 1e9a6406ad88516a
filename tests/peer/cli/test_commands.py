import click
import pytest

from peer.cli.commands import root
from peer.cli.main import VERBS
from tests.peer.cli.conftest import Peerctl


def commands() -> list[tuple[str, ...]]:
    context = click.Context(root)
    found: list[tuple[str, ...]] = []
    for verb in VERBS:
        command = root.get_command(context, verb)
        assert command is not None
        found += [(verb, sub) for sub in command.commands] if isinstance(command, click.Group) else [(verb,)]
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_the_help_of_every_verb_shows_an_example(peerctl: Peerctl, path: tuple[str, ...]) -> None:
    ran = peerctl(*path, "--help")
    assert ran.code == 0
    assert f"  peerctl {' '.join(path)}" in ran.out.split("Examples:")[1].replace('eval "$(peerctl', "  peerctl")
    assert "--host" in ran.out


def test_the_help_lists_every_verb_and_the_exit_codes(peerctl: Peerctl) -> None:
    out = peerctl("--help").out
    for verb in VERBS:
        assert f"\n  {verb} " in out
    assert "130 interrupted" in out


def test_a_verb_mistyped_is_told_the_nearest(peerctl: Peerctl) -> None:
    ran = peerctl("sttaus")
    assert ran.code == 2
    assert "Did you mean 'status'?" in ran.err
