from __future__ import annotations

import socket

from peer.render.trial import attempt


def test_without_a_sandbox_everything_can_be_done(tmp_path):
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "secret").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as door:
        job = {"inside": str(tmp_path / "inside"), "outside": str(tmp_path / "outside"), "port": door.getsockname()[1]}
        seen = attempt(job)
    assert seen == {"works": True, "why": "", "reads": True, "writes": True, "connects": True}


def test_what_cannot_be_done_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    seen = attempt({"inside": str(tmp_path / "no"), "outside": str(tmp_path / "nowhere"), "port": port})
    assert (seen["works"], seen["reads"], seen["writes"], seen["connects"]) == (False, False, False, False)
    assert "No such file" in seen["why"]
