"""Both sides of delivery in virtual time: who carries, what is said, and when it is tried again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol import limits
from protocol.delivery.delivery import Delivery
from protocol.effects import Deliver, FetchBlobs, Notice
from protocol.events import BlobsEnded, DeliverEnded, StreamFailed, StreamReceived
from protocol.ids import PeerId
from protocol.jobs.parcels import Parcel, Placed
from protocol.signals import DeliverySwept, DeliveryVoid, DeliveryWaits, FramesDelivered, Send, WorkClosed
from protocol.wire.delivery import Carried, Carry
from tests.playbook import Playbook
from tests.protocol.delivery.test_consignment import due
from tests.protocol.making import ANNA, BEN, JOB, ME, card, changed, ended, output, sent


def begin(*roots: str) -> Playbook:
    return Playbook(Delivery(me=ME, run_epoch=1, roots=roots))


def having(who: PeerId, *roots: str) -> Any:
    return changed(who, with_card=card(roots=roots))


def asked(book: Playbook, to: PeerId) -> Carry:
    [carry] = sent(book, Carry, to)
    return carry


def answer(book: Playbook, who: PeerId, carry: Carry, *placed: Placed, code: str = "", reason: str = "") -> Playbook:
    return book.feed(StreamReceived(who, Carried(JOB, carry.number, placed, code, reason)))


# the owner's side


def test_frames_go_to_a_peer_that_has_the_root_and_become_a_fact():
    book = begin().feed(having(ANNA, "other"), having(BEN, "farm"), due(ended(1, 1), ended(2, 2)))
    carry = asked(book, BEN)
    answer(book, BEN, carry, Placed(1, 0), Placed(2, 0))
    told = book.expect(FramesDelivered)
    assert (told.peer, told.placed) == (BEN, (Placed(1, 0), Placed(2, 0)))
    assert book.expect(Notice, event="frames_delivered").fields["frames"] == [1, 2]


def test_this_peer_carries_itself_when_it_can():
    book = begin("farm").feed(having(ANNA, "farm"), due(ended(1, 1)))
    assert asked(book, ME).root == "farm"


def test_without_the_root_it_waits_with_a_reason_and_goes_on_when_somebody_comes():
    book = begin().feed(having(ANNA, "other"), due(ended(1, 1)))
    [reason] = book.expect(DeliveryWaits).reasons
    assert (reason.code, "--output-root farm=PATH" in reason.remedy) == ("no_output_root", True)
    assert book.machine.next_deadline() is None
    book.feed(having(BEN, "farm"))
    answer(book, BEN, asked(book, BEN), Placed(1, 0))
    assert book.expect(DeliveryWaits).reasons == ()


def test_an_address_goes_to_a_peer_whose_root_holds_it():
    book = begin().feed(
        having(ANNA, "cloud", "s3://bucket/film"), replace(due(ended(1, 1)), root="s3://bucket", folder="shots/010")
    )
    [reason] = book.expect(DeliveryWaits).reasons
    assert (reason.code, "s3://bucket/shots/010" in reason.text) == ("no_output_root", True)
    assert "--output-root NAME=s3://bucket" in reason.remedy
    book.feed(having(BEN, "cloud", "s3://bucket/shots"))
    carry = asked(book, BEN)
    assert (carry.root, carry.folder) == ("s3://bucket", "shots/010")


def test_a_root_that_hinders_is_tried_again_elsewhere_and_says_why():
    book = begin().feed(having(ANNA, "farm"), having(BEN, "farm"), due(ended(1, 1), ended(2, 2)))
    answer(book, ANNA, asked(book, ANNA), Placed(1, 0), code="output_root_full", reason="no space")
    [reason] = book.expect(DeliveryWaits).reasons
    assert (reason.code, reason.peer) == ("output_root_full", ANNA)
    assert book.expect(FramesDelivered).placed == (Placed(1, 0),)
    assert sent(book, Carry) == []
    book.wait(limits.DELIVERY_RETRY_S)
    carry = asked(book, BEN)
    assert [parcel.frame for parcel in carry.parcels] == [2]
    answer(book, BEN, carry, Placed(2, 0))
    assert book.expect(DeliveryWaits).reasons == ()


def test_what_is_void_is_not_carried_any_more_and_what_is_due_then_is_at_once():
    book = begin().feed(having(ANNA, "farm"), due(ended(1, 1), ended(2, 2)))
    first = asked(book, ANNA)
    answer(book, ANNA, first, code="output_unreachable", reason="nobody has it")
    book.feed(DeliveryVoid(JOB), due(ended(2, 2)))
    assert [parcel.frame for parcel in asked(book, ANNA).parcels] == [2]
    book.feed(DeliveryVoid(JOB))
    assert book.machine.next_deadline() is None
    answer(book, ANNA, first, Placed(2, 0))
    assert book.take(FramesDelivered) == []


def test_a_conflict_is_told_by_name():
    book = begin().feed(having(ANNA, "farm"), due(ended(1, 1)))
    answer(book, ANNA, asked(book, ANNA), Placed(1, 0, ("shot_0001.png",)))
    assert book.expect(Notice, event="delivery_conflict").fields["name"] == "shot_0001.png"


def test_who_does_not_answer_is_asked_again_with_the_same_number():
    book = begin().feed(having(ANNA, "farm"), due(ended(1, 1)))
    first = asked(book, ANNA)
    book.wait(limits.CARRY_RESEND_S)
    assert asked(book, ANNA) == first


def test_a_carrier_that_dies_or_cannot_be_reached_is_replaced():
    book = begin().feed(having(ANNA, "farm"), having(BEN, "farm"), due(ended(1, 1)))
    first = asked(book, ANNA)
    book.feed(changed(ANNA, "dead", with_card=card(roots=("farm",))))
    second = asked(book, BEN)
    answer(book, ANNA, first, Placed(1, 0))  # too late: somebody else is at it
    assert book.take(FramesDelivered) == []
    book.feed(StreamFailed(BEN, second, refused=False))
    assert book.expect(DeliveryWaits).reasons[0].code == "output_root_unreachable"
    book.wait(limits.DELIVERY_RETRY_S)
    assert asked(book, BEN).number > second.number


def test_a_sweep_ends_when_all_is_found():
    book = begin().feed(having(ANNA, "farm"), due(ended(1, 1), sweep=True))
    carry = asked(book, ANNA)
    assert carry.sweep
    answer(book, ANNA, carry, Placed(1, 0))
    assert book.expect(DeliverySwept).job == JOB
    assert book.take(FramesDelivered) == []


def test_a_closed_job_is_forgotten():
    book = begin().feed(having(ANNA, "farm"), due(ended(1, 1)))
    carry = asked(book, ANNA)
    answer(book.feed(WorkClosed(JOB, "cancelled")), ANNA, carry, Placed(1, 0))
    assert book.take(FramesDelivered) == []
    assert book.machine.next_deadline() is None


# the carrier's side

PARCEL = Parcel(1, 0, ("shot_0001.png",), (output(1),), ())
CARRY = Carry(JOB, 5, "farm", "film", False, (PARCEL,), (ANNA, ME))


def test_a_carrier_fetches_puts_in_place_and_answers_once():
    book = begin("farm").feed(StreamReceived(ANNA, CARRY))
    fetch = book.expect(FetchBlobs)
    assert (fetch.holders, fetch.pin_for) == ((ANNA,), None)
    book.feed(StreamReceived(ANNA, CARRY))  # again: it is under way
    assert book.out == []
    effect = book.feed(BlobsEnded(fetch.ticket, "")).expect(Deliver)
    assert (effect.root, effect.folder, effect.parcels) == ("farm", "film", (PARCEL,))
    book.feed(DeliverEnded(effect.ticket, (Placed(1, 0),)))
    assert book.expect(Send).message == Carried(JOB, 5, (Placed(1, 0),), "", "")
    book.feed(DeliverEnded(effect.ticket, ()))
    assert book.out == []


def test_bytes_that_cannot_be_had_are_a_reason():
    book = begin("farm").feed(StreamReceived(ANNA, CARRY))
    book.feed(BlobsEnded(book.expect(FetchBlobs).ticket, "nobody has it"))
    [carried] = sent(book, Carried, ANNA)
    assert (carried.code, "nobody has it" in carried.reason) == ("output_unreachable", True)


def test_a_root_that_is_not_here_is_a_reason():
    book = begin("other").feed(StreamReceived(ANNA, CARRY))
    [carried] = sent(book, Carried, ANNA)
    assert carried.code == "no_output_root"
