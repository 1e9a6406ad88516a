"""Clock, dice, sockets and files that work for everybody but `protocol`.

Each is wrapped so that it looks at the module of the frame that calls it. Poisoning them for all would break pytest,
hypothesis and asyncio, which run in the same process.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import io
import os
import pkgutil
import random
import secrets
import socket
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import protocol

# Objects that hold the function, and its name there. Without those that protocol may use (Random with a seed).
POISONED: tuple[tuple[Any, str], ...] = (
    *((time, name) for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")),
    *((time, name) for name in ("process_time", "thread_time", "sleep", "localtime", "gmtime", "ctime")),
    *((random, name) for name in ("random", "uniform", "randint", "randrange", "randbytes", "getrandbits", "choice", "choices")),
    *((random, name) for name in ("sample", "shuffle", "gauss", "normalvariate", "lognormvariate", "expovariate", "seed")),
    *((secrets, name) for name in ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "randbits", "choice")),
    *((uuid, name) for name in ("uuid1", "uuid4")),
    *((os, name) for name in ("urandom", "open", "getenv", "getpid", "stat", "listdir", "system")),
    *((socket, name) for name in ("create_connection", "create_server", "getaddrinfo", "gethostname", "socketpair")),
    (socket.socket, "__init__"),
    (threading.Thread, "__init__"),
    (builtins, "open"),
    (builtins, "print"),
    (io, "open"),
)


class Poisoned(AssertionError):
    """`protocol` reached for the world."""


def is_protocol(module: str) -> bool:
    """Whether a module's name is `protocol` or below it (tests/protocol is not)."""
    return module == "protocol" or module.startswith("protocol.")


def poisoned(real: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`real`, but a call from a frame of `protocol` raises `Poisoned`."""

    @functools.wraps(real)
    def guard(*args: Any, **kwargs: Any) -> Any:
        module = str(sys._getframe(1).f_globals.get("__name__", ""))
        if is_protocol(module):
            raise Poisoned(f"{module} called {name}: protocol/ decides, peer/ does. Take it as an argument, or return an effect")
        return real(*args, **kwargs)

    return guard


def seeded_only(real: Callable[..., None]) -> Callable[..., None]:
    """`Random.__init__`, but `protocol` must give a seed."""

    @functools.wraps(real)
    def guard(self: random.Random, x: Any = None) -> None:
        if x is None and is_protocol(str(sys._getframe(1).f_globals.get("__name__", ""))):
            raise Poisoned("protocol drew a Random of its own: use the injected one")
        real(self, x)

    return guard


def poison(patch: pytest.MonkeyPatch) -> None:
    """Poison everything, until `patch` is undone."""
    for holder, name in POISONED:
        patch.setattr(holder, name, poisoned(getattr(holder, name), f"{holder.__name__}.{name}"))
    patch.setattr(random.Random, "__init__", seeded_only(random.Random.__init__))


def modules_of_protocol() -> Iterator[types.ModuleType]:
    """Every module below `protocol`, imported."""
    for found in pkgutil.walk_packages(protocol.__path__, "protocol."):
        yield importlib.import_module(found.name)


def held_references(modules: Iterator[types.ModuleType], forbidden: list[Any]) -> list[str]:
    """Names of modules that hold one of `forbidden` themselves, where no wrapper could see the call."""
    return [
        f"{module.__name__}.{name}"
        for module in modules
        for name, value in vars(module).items()
        if any(value is thing for thing in forbidden)
    ]
