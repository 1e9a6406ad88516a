import os
import subprocess
import sys

import pytest

from tests.peer.cli.conftest import ROOT, Peerctl


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(peerctl: Peerctl, shell: str) -> None:
    assert "_PEERCTL_COMPLETE" in peerctl("completion", shell).out


def test_an_unknown_shell(peerctl: Peerctl) -> None:
    assert peerctl("completion", "tcsh").code == 2


def test_what_the_script_asks_is_answered() -> None:
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "_PEERCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": "peerctl sub",
        "COMP_CWORD": "1",
    }
    done = subprocess.run([sys.executable, "-m", "peer.cli"], env=env, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.split() == ["plain,submit"]
