"""Whatever stands on the command line, peerctl ends with a code of its contract and never with a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from peer.cli.failures import Exit
from tests.fuzzing import examples, texts
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakePeer

# What waits for ever, asks the network for names or writes where it is told has tests of its own.
VERBS: Final = (
    "status", "jobs", "job", "frames", "why", "peers", "peer", "ping", "events", "whoami", "token", "keys", "logs", "pause",
    "resume", "retry", "priority", "cancel", "rm", "drain", "undrain", "submit", "fetch", "config",
)  # fmt: skip
FLAGS: Final = (
    "-o", "--json", "--state", "--limit", "--frame", "-f", "--frames", "--renderer", "null", "--setting", "--label", "--asset",
    "--name", "--samples", "--priority", "--role", "list", "create", "revoke", "install", "use", "--force", "--accept",
    "--idempotency-key", "--yes", "x", "1", "castle.blend", "@last", "--cacert", "--timeout", "0", "--",
)  # fmt: skip
words = (
    st.sampled_from(FLAGS) | texts.filter(lambda text: "\0" not in text) | st.sampled_from(["\udcff", "a\udcff=b", "k=[[[", "="])
)


@examples(200)
@given(st.sampled_from(VERBS), st.lists(words, max_size=5))
@example("job", ["\udcff"])
@example("submit", ["--renderer", "null", "-f", "1", "--name", "\udcff"])
@example("submit", ["--renderer", "null", "-f", "1", "--idempotency-key", "日本"])
@example("submit", ["--renderer", "null", "-f", "1", "--setting", "a=" + "[" * 100_000])
@example("submit", ["castle.blend", "--label", "a=\udcff"])
def test_any_arguments_are_done_or_refused(
    peer: FakePeer, peerctl: Peerctl, scene: Path, verb: str, arguments: list[str]
) -> None:
    peer.mesh.jobs.clear()
    peer.mesh.add("castle", [1, 2])
    if {"--watch", "--follow", "--wait"} & set(arguments):
        return
    ran = peerctl(verb, *arguments)
    assert ran.code in tuple(Exit)
    assert "Traceback" not in ran.err


def test_bytes_that_are_no_text_are_said_as_such(peer: FakePeer, peerctl: Peerctl) -> None:
    ran = peerctl("job", "\udcff")
    assert (ran.code, ran.out) == (Exit.USAGE, "")
    assert "not UTF-8" in ran.err
