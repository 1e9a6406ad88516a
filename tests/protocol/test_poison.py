"""The poison bites `protocol`, and nobody else; and no module holds the antidote."""

from __future__ import annotations

import builtins
import inspect
import os
import random
import secrets
import socket
import sys
import threading
import time
import types
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.poison import POISONED, Poisoned, held_references, is_protocol, modules_of_protocol

CALLS = [
    "time.monotonic()",
    "time.time()",
    "time.sleep(0)",
    "random.random()",
    "random.choice([1])",
    "random.Random()",
    "secrets.token_bytes(4)",
    "uuid.uuid4()",
    "os.urandom(4)",
    "os.getenv('HOME')",
    "socket.socket()",
    "socket.gethostname()",
    "threading.Thread()",
    "open('x')",
    "print()",
]


def call_from(module: str, text: str) -> Any:
    names = {"time": time, "random": random, "secrets": secrets, "uuid": uuid, "os": os, "socket": socket, "threading": threading}
    return eval(text, {"__name__": module, **names})


@pytest.mark.parametrize("text", CALLS)
@pytest.mark.parametrize("module", ["protocol", "protocol.membership.swim"])
def test_protocol_cannot_reach_the_world(module: str, text: str):
    with pytest.raises(Poisoned):
        call_from(module, text)


@pytest.mark.parametrize("module", ["peer.engine", "tests.protocol.test_x", "protocolx"])
def test_everybody_else_can(module: str, tmp_path: Path):
    path = tmp_path / "x"
    path.write_text("here")
    assert call_from(module, "time.monotonic()") > 0
    assert len(call_from(module, "os.urandom(4)")) == 4
    assert call_from(module, "random.Random()").random() < 1
    with call_from(module, f"open({str(path)!r})") as file, call_from(module, "socket.socket()") as endpoint:
        assert file.read() == "here"
        assert isinstance(endpoint, socket.socket)


def test_a_random_with_a_seed_is_allowed():
    assert call_from("protocol.x", "random.Random(7).random()") == random.Random(7).random()


def test_every_wrapped_name_is_wrapped():
    unwrapped = [name for holder, name in POISONED if inspect.unwrap(getattr(holder, name)) is getattr(holder, name)]
    assert unwrapped == []


def test_no_module_of_protocol_holds_the_world_itself():
    forbidden = [inspect.unwrap(getattr(holder, name)) for holder, name in POISONED if holder is not builtins]
    forbidden += [time, secrets, uuid, os, socket, threading, sys, socket.socket, threading.Thread, os.environ]
    assert held_references(modules_of_protocol(), forbidden) == []


def test_a_held_reference_is_found():
    planted = types.ModuleType("protocol.planted")
    vars(planted)["now"] = inspect.unwrap(time.monotonic)
    assert held_references(iter([planted]), [inspect.unwrap(time.monotonic)]) == ["protocol.planted.now"]


def test_the_tests_of_protocol_are_not_protocol():
    assert [is_protocol(name) for name in ("protocol", "protocol.ids", "tests.protocol", "protocols")] == [
        True,
        True,
        False,
        False,
    ]
