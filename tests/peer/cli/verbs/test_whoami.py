import json

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakePeer


def test_name_and_role(peer: FakePeer, peerctl: Peerctl) -> None:
    assert peerctl("whoami").out.splitlines()[:2] == ["Name  alice", "Role  operator"]
    assert peerctl("whoami", "-o", "name").out == "alice\n"
    caller = json.loads(peerctl("whoami", "--json").out)
    assert caller == {
        "apiVersion": "peerctl/v1", "kind": "Caller", "name": "alice", "role": "operator", "key": "0" * 16, "peer": peer.id,
    }  # fmt: skip
