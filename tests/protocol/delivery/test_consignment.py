from __future__ import annotations

from typing import Any

from protocol import limits
from protocol.delivery.consignment import Consignment, Flight
from protocol.jobs.parcels import Placed
from protocol.jobs.results import FrameResult
from protocol.kernel import Now
from protocol.ledger.facts import FrameEnded
from protocol.signals import DeliveryDue
from protocol.wire.delivery import Carried
from tests.protocol.making import ANNA, BEN, JOB, ME, digest, ended, output


def due(*frames: FrameEnded, sweep: bool = False, older: tuple[str, ...] = ()) -> DeliveryDue:
    return DeliveryDue(JOB, "farm", "film", "shot", "{job}_{frame:04d}", (ME,), tuple((one, older) for one in frames), sweep)


def frames_of(consignment: Consignment) -> list[int]:
    return [parcel.frame for parcel in consignment.next_carry(1).parcels]


def fly(consignment: Consignment, *placed: Placed, code: str = "") -> tuple[Placed, ...]:
    carry = consignment.next_carry(1)
    consignment.flight = Flight(ANNA, carry, 0.0)
    return consignment.landed(Carried(JOB, 1, placed, code, ""))


def test_a_parcel_has_names_from_the_template_and_its_holders():
    first = due(ended(7, 1, by=BEN), older=(digest("older"),))
    consignment = Consignment(first)
    consignment.add(first)
    carry = consignment.next_carry(5)
    assert (carry.number, carry.root, carry.folder, carry.holders) == (5, "farm", "film", (ME, BEN))
    [parcel] = carry.parcels
    assert (parcel.names, parcel.replaces) == (("shot_0007.png",), (digest("older"),))


def test_a_batch_is_bounded_by_frames_and_by_outputs():
    many = due(*(ended(frame, frame) for frame in range(100)))
    consignment = Consignment(many)
    consignment.add(many)
    assert len(frames_of(consignment)) == limits.PARCELS_PER_CARRY_MAX
    wide = FrameResult(tuple(output(1) for _ in range(256)), None, 1.0)
    heavy = due(*(ended(frame, frame, result=wide) for frame in range(10)))
    consignment = Consignment(heavy)
    consignment.add(heavy)
    assert len(frames_of(consignment)) == 4


def test_what_is_placed_waits_no_more_and_the_rest_does():
    begun = due(ended(1, 1), ended(2, 2))
    consignment = Consignment(begun)
    consignment.add(begun)
    assert fly(consignment, Placed(1, 0), code="output_root_full") == (Placed(1, 0),)
    assert frames_of(consignment) == [2]


def test_the_newer_generation_waits_although_the_older_one_was_placed():
    begun = due(ended(1, 1))
    consignment = Consignment(begun)
    consignment.add(begun)
    carry = consignment.next_carry(1)
    consignment.flight = Flight(ANNA, carry, 0.0)
    consignment.add(due(ended(1, 2, generation=1)))
    consignment.landed(Carried(JOB, 1, (Placed(1, 0),), "", ""))
    assert [parcel.generation for parcel in consignment.next_carry(2).parcels] == [1]
    consignment.add(due(ended(1, 1)))  # an old story told again
    assert [parcel.generation for parcel in consignment.next_carry(2).parcels] == [1]


def test_an_answer_about_what_was_not_asked_changes_nothing():
    begun = due(ended(1, 1))
    consignment = Consignment(begun)
    consignment.add(begun)
    assert fly(consignment, Placed(9, 0), Placed(1, 3)) == ()
    assert frames_of(consignment) == [1]


def test_a_sweep_delivers_again_what_it_does_not_find():
    asked = due(ended(1, 1), ended(2, 2), sweep=True)
    consignment = Consignment(asked)
    consignment.add(asked)
    assert consignment.next_carry(1).sweep
    fly(consignment, Placed(1, 0))
    assert not consignment.is_swept
    again = consignment.next_carry(2)
    assert (again.sweep, [parcel.frame for parcel in again.parcels]) == (False, [2])
    fly(consignment, Placed(2, 0))
    assert consignment.is_swept


def test_a_sweep_and_what_follows_from_it_know_what_is_to_give_way():
    asked = due(ended(1, 1, generation=1), sweep=True, older=(digest("older"),))
    consignment = Consignment(asked)
    consignment.add(asked)
    carries = [consignment.next_carry(1)]
    fly(consignment)
    carries.append(consignment.next_carry(2))
    assert [(carry.sweep, carry.parcels[0].replaces) for carry in carries] == [
        (sweep, (digest("older"),)) for sweep in (True, False)
    ]


def test_a_sweep_that_could_not_look_looks_again():
    asked = due(ended(1, 1), sweep=True)
    consignment = Consignment(asked)
    consignment.add(asked)
    fly(consignment, code="output_root_gone")
    assert not consignment.is_swept
    assert consignment.next_carry(2).sweep


def test_pauses_grow_to_a_limit():
    begun = due(ended(1, 1))
    consignment = Consignment(begun)
    consignment.add(begun)
    pauses: list[Any] = []
    for _ in range(12):
        consignment.fail(Now(100.0, 0))
        pauses.append(consignment.retry_at - 100.0)
    assert pauses[0] == limits.DELIVERY_RETRY_S
    assert pauses == sorted(pauses)
    assert pauses[-1] == limits.DELIVERY_RETRY_S_MAX
    assert consignment.next_at() == consignment.retry_at
