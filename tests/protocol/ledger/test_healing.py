from __future__ import annotations

from protocol import limits
from protocol.effects import FetchBlobs, Notice
from protocol.events import BlobLost, BlobsEnded
from protocol.ledger.facts import Delivered, ReplicaSet, Retried
from protocol.ledger.healing import Healing, needs_blob
from tests.playbook import Playbook
from tests.protocol.making import ANNA, BEN, CARL, JOB, ME, SCENE, begun, digest, ended, facts, fence, folded, output


def begin() -> Playbook:
    fold = folded(*begun(manifest=SCENE), ReplicaSet(fence(), 2, (ME, BEN)), ended(3, 1, by=ANNA))
    return Playbook(Healing(me=ME, folds=lambda: [fold]))


def test_a_lost_frame_is_fetched_from_who_made_it_and_who_keeps_it():
    book = begin().feed(BlobLost(output(3, ANNA).digest))
    fetch = book.expect(FetchBlobs)
    assert (fetch.holders, fetch.pin_for, fetch.items) == ((ANNA, BEN), JOB, ((output(3, ANNA).digest, 100),))
    assert book.expect(Notice, event="blob_lost").fields["frame"] == 3
    book.feed(BlobLost(output(3, ANNA).digest))  # told twice: it is under way
    assert book.out == []
    book.feed(BlobsEnded(fetch.ticket, ""))
    assert book.expect(Notice).event == "blob_healed"
    assert book.machine.next_deadline() is None


def test_who_delivered_a_frame_may_have_it_still():
    delivered = Delivered("3", 0, (), CARL, 1)
    fold = folded(*begun(manifest=SCENE), ReplicaSet(fence(), 2, (ME, BEN)), ended(3, 1, by=ANNA), delivered)
    book = Playbook(Healing(me=ME, folds=lambda: [fold])).feed(BlobLost(output(3, ANNA).digest))
    assert book.expect(FetchBlobs).holders == (ANNA, BEN, CARL)


def test_a_lost_scene_comes_from_the_replicas():
    fetch = begin().feed(BlobLost(digest("scene"))).expect(FetchBlobs)
    assert fetch.holders == (BEN,)


def test_what_no_job_needs_is_only_cache():
    assert begin().feed(BlobLost(digest("something else"))).out == []


def test_it_is_tried_again_and_then_given_up_aloud():
    book = begin().feed(BlobLost(output(3, ANNA).digest))
    for _ in range(limits.HEAL_TRIES_MAX - 1):
        book.feed(BlobsEnded(book.expect(FetchBlobs).ticket, "nobody has it")).wait(limits.HEAL_RETRY_S)
    book.feed(BlobsEnded(book.expect(FetchBlobs).ticket, "nobody has it"))
    notice = book.expect(Notice, event="blob_unrecoverable")
    assert (notice.level, notice.fields["remedy"]) == ("error", "render it again: frames=3")
    assert book.machine.next_deadline() is None


def test_what_was_rendered_again_meanwhile_is_missed_no_more():
    fold = folded(*begun(manifest=SCENE), ReplicaSet(fence(), 2, (ME, BEN)), ended(3, 1, by=ANNA))
    book = Playbook(Healing(me=ME, folds=lambda: [fold])).feed(BlobLost(output(3, ANNA).digest))
    fold.add(facts(Retried("3", 1, 1), first=7)[0])
    for _ in range(limits.HEAL_TRIES_MAX - 1):
        book.feed(BlobsEnded(book.expect(FetchBlobs).ticket, "nobody has it")).wait(limits.HEAL_RETRY_S)
    ticket = book.expect(FetchBlobs).ticket
    book.forget().feed(BlobsEnded(ticket, "nobody has it"))
    book.expect_no(Notice)
    assert not needs_blob(fold, output(3, ANNA).digest)
    assert needs_blob(fold, digest("scene"))
