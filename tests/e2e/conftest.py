from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.mesh import Mesh, PeerProcess


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A failed test shows the logs of its peers."""
    report = yield
    if report.when == "call" and report.failed and isinstance(item, pytest.Function):
        for value in item.funcargs.values():
            if isinstance(value, Mesh):
                report.sections += [(f"log of {peer.name} ({peer.url})", peer.story) for peer in value.peers]
            elif isinstance(value, PeerProcess):
                report.sections.append((f"log of {value.name} ({value.url})", value.story))
    return report


@contextlib.contextmanager
def a_mesh() -> Iterator[Mesh]:
    folder = Path(tempfile.mkdtemp(prefix="rendermesh-e2e-"))
    made = Mesh(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    """A mesh without peers; all that the test starts in it ends with the test."""
    with a_mesh() as made:
        yield made


@pytest.fixture(scope="module")
def shared_mesh() -> Iterator[Mesh]:
    """The same for all tests of a module, for those that leave it as they found it."""
    with a_mesh() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def blender_peer(shared_mesh: Mesh) -> AsyncIterator[PeerProcess]:
    """One peer with a real Blender, for a whole module."""
    [peer] = await shared_mesh.start_many("blender", renderer="")
    yield peer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def null_peer(shared_mesh: Mesh) -> AsyncIterator[PeerProcess]:
    """One peer with the null renderer, for a whole module."""
    [peer] = await shared_mesh.start_many("null")
    yield peer
