from __future__ import annotations

from protocol.records import DropValue, ForgetJob, PutFact, PutValue
from tests.protocol.making import JOB, begun, digest, facts
from tests.sim.disk import Disk


def test_a_start_finds_what_was_committed_in_order():
    disk = Disk()
    written = facts(*begun())
    disk.commit([PutFact(fact) for fact in reversed(written)])
    disk.commit([PutValue("a", b"1"), PutValue("b", b"2"), DropValue("a"), PutFact(written[0])])
    assert disk.booted().facts == tuple(written)
    assert disk.booted().values == {"b": b"2"}


def test_a_forgotten_job_leaves_nothing_but_its_blobs():
    disk = Disk()
    disk.commit([PutFact(fact) for fact in facts(*begun())])
    disk.keep(digest("scene"), 1000)
    disk.commit([ForgetJob(JOB)])
    assert disk.booted().facts == ()
    assert disk.blobs == {digest("scene"): 1000}


def test_a_copy_stays_as_it_is():
    disk = Disk(run=3)
    first, second, *_ = facts(*begun())
    disk.commit([PutFact(first), PutValue("a", b"1")])
    copy = disk.copied()
    disk.commit([PutFact(second), PutValue("a", b"2")])
    disk.keep(digest("scene"), 1000)
    assert (copy.booted().facts, copy.booted().values, copy.blobs, copy.run) == ((first,), {"a": b"1"}, {}, 3)
