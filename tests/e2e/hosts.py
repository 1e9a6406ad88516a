"""Peers on hosts of their own: one `peerd` in each network namespace of a switch, watched by what it writes.

The preset is `local`, whose dead are gossiped to for 15 s, so that a cut can outlast that in a test.
"""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from protocol.wire.seal import MeshKey, format_mesh_key
from tests.bench.fleets import Daemon, Listener, Ours, Place
from tests.e2e.netns import Host, lan

PORT = 7_700
KNOWN_S = 30.0
DEAD_S = 45.0
WATCHED_S = 20.0  # longer than the longest suspicion of the preset


@dataclass(frozen=True, slots=True)
class Farm:
    """Hosts, and a fleet with one peer per host under the host's index."""

    hosts: list[Host]
    fleet: Ours

    def state(self, observer: int, about: int) -> str | None:
        """What one peer holds of another."""
        return self.fleet.daemons[observer].view.get(self.fleet.daemons[about].key)

    def nobody_dies(self, seconds: float = WATCHED_S) -> bool:
        """Watch for so long; whether no death was declared by anybody."""
        before = sum(1 for one in self.fleet.said if one.state == "dead")

        def somebody_died() -> bool:
            return sum(1 for one in self.fleet.said if one.state == "dead") > before

        return not self.fleet.wait(somebody_died, seconds, None)

    def wrote(self, index: int, event: str) -> list[dict[str, Any]]:
        """The lines of one peer whose event ends with `event`."""
        lines = [json.loads(line) for line in list(self.fleet.daemons[index].lines) if line.startswith("{")]
        return [line for line in lines if str(line["event"]).endswith(event)]

    def get(self, index: int, path: str) -> tuple[bytes, dict[str, str]]:
        """What a peer answers, asked on its own host: body and headers."""
        host = self.hosts[index]
        request = urllib.request.Request(f"http://{host.address}:{PORT}{path}", headers={"Connection": "close"})
        with host.entered(), urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read(), dict(answer.headers)

    def drops(self, index: int) -> dict[str, float]:
        """Datagrams that a peer has dropped, by reason."""
        families = text_string_to_metric_families(self.get(index, "/metrics")[0].decode())
        samples = [one for family in families if family.name == "rendermesh_datagrams_dropped" for one in family.samples]
        return {sample.labels["reason"]: sample.value for sample in samples}

    def start(self, index: int, seeds: Sequence[int] = (0,)) -> Daemon:
        """Start a peer and wait until it listens."""
        daemon = self.fleet.launch(index, seeds)
        self.fleet.wait_ready(daemon)
        return daemon

    def agree(self, *indexes: int, timeout_s: float = KNOWN_S) -> bool:
        """Whether these (default: all that run) hold one another for alive in time."""
        return self.fleet.wait(lambda: self.fleet.agreed(indexes or tuple(self.fleet.daemons)), timeout_s, None)


def make_key(path: Path) -> Path:
    """A mesh key file."""
    path.write_text(format_mesh_key(MeshKey(secrets.token_bytes(16), secrets.token_bytes(32))) + "\n")
    path.chmod(0o600)
    return path


@contextmanager
def farm(count: int, folder: Path, *, running: int | None = None) -> Iterator[Farm]:
    """`count` hosts, the first `running` (default: all) with a peer, which all know one another."""
    with lan(count) as hosts, ExitStack() as stack:
        listener = Listener()
        stack.callback(listener.close)
        key = make_key(folder / "mesh.key")
        fleet = Ours(listener, folder / "peers", lambda index: Place(tuple(hosts[index].command()), hosts[index].address, PORT))
        fleet.flags = ("--preset", "local", "--mesh-key-file", str(key), "--http", "plain", "--anonymous-role", "viewer")
        stack.callback(fleet.close)
        fleet.start(count if running is None else running)
        yield Farm(hosts, fleet)
