from __future__ import annotations

from random import Random

from tests.chaos.faults import DOWN_S, WEIGHTS, Fault, draw
from tests.chaos.orders import FILM_FRAMES, draw_film, draw_order, draw_steering, order_of


def test_a_seed_draws_the_same_faults_and_a_longer_plan_begins_alike():
    assert draw(7, 120) == draw(7, 120)
    assert draw(7, 600)[: len(draw(7, 120))] == draw(7, 120)
    assert draw(7, 120) != draw(8, 120)


def test_a_plan_holds_every_kind_and_half_of_its_kills_strike_owners():
    plan = draw(3, 600)
    assert {fault.kind for fault in plan} == set(WEIGHTS) == set(DOWN_S)
    kills = [fault for fault in plan if fault.kind in ("kill", "stop", "leave")]
    assert abs(2 * sum(fault.owner for fault in kills) - len(kills)) <= 1


def test_a_plan_of_some_kinds_holds_no_others():
    assert {fault.kind for fault in draw(3, 300, {"kill", "twin"})} == {"kill", "twin"}


def test_a_choice_is_always_one_of_those_there_are():
    assert Fault(0, "kill", 0, 0, pick=1.0, detail=0).chosen(3) == 2
    assert Fault(0, "kill", 0, 0, pick=0.0, detail=0).chosen(3) == 0


def test_orders_come_again_from_the_same_dice_and_from_the_history():
    some = [draw_order(Random(5), f"k{number}") for number in range(3)]
    assert some == [draw_order(Random(5), f"k{number}") for number in range(3)]
    orders = [
        *(draw_order(dice, f"k{number}") for dice in [Random(6)] for number in range(60)),
        draw_film(Random(1), "film", (64, 64)),
    ]
    for order in orders:
        assert order_of(order.document()) == order
        assert set(order.failing) <= set(order.numbers)
    assert orders[-1].numbers[-1] <= FILM_FRAMES
    assert {step.action for order in orders for step in draw_steering(Random(order.key), order)} >= {"cancel", "pause", "resume"}
