"""The checker bites: an honest history passes every rule, and each forged one is found by the rule that is there for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import blake3
import pytest

from tests.chaos.checker import RULES, judge, story
from tests.chaos.evidence import Evidence
from tests.chaos.orders import Order

PEERS = ("p0", "p1", "p2")
LINES = list[dict[str, Any]]


def truth(order: Order, frame: int) -> str:
    return f"{order.size}/{frame}"


def line(op: str, at: float = 1.0, **fields: Any) -> dict[str, Any]:
    return {"at": at, "op": op, **fields}


def asked(op: str, key: str, job: str, status: int, *, state: str = "", **fields: Any) -> dict[str, Any]:
    answer = {"id": job, **({"state": state} if state else {})} if status in (200, 202) else {}
    return line(op, key=key, job=job, status=status, host="p1", began=1.0, answer=answer, text="", **fields)


def rows(order: Order, *, state: str = "done", generation: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "frame": frame, "state": "failed" if frame in order.failing else state, "generation": generation,
            "digest": digest(order, frame), "pixel_hash": "x", "error": None,
        }
        for frame in order.numbers
    ]  # fmt: skip


def digest(order: Order, frame: int) -> str:
    return blake3.blake3(f"{order.key} {frame}".encode()).hexdigest()


class Forgery:
    """An honest case of three jobs: one delivered, one cancelled, one with a frame that must fail. Tests spoil it."""

    def __init__(self) -> None:
        self.whole = Order("whole", "null", (1, 4), (64, 48), folder="film/whole")
        self.gone = Order("gone", "null", (1, 2), (72, 48))
        self.sick = Order("sick", "null", (5, 7), (80, 48), failing=(6,))
        self.lines: LINES = [line("intend", key=one.key, order=one.document()) for one in (self.whole, self.gone, self.sick)]
        self.lines += [asked("submit", "whole", "", 0), asked("submit", "whole", "j-whole", 202)]
        self.lines += [asked("submit", "gone", "j-gone", 202), asked("submit", "sick", "j-sick", 202)]
        self.lines += [asked("cancel", "gone", "j-gone", 200, state="cancelled")]
        self.lines += [line("event", name="frame_committed", job="j-whole", frame=frame, at_peer="p0") for frame in range(1, 5)]
        self.lines += [
            line("fault", at=5.0, kind="kill", number=0, peers=["p0"], slots=1),
            line("over", at=6.0, kind="kill", number=0),
        ]
        self.lines += [line("settled", in_time=True, seconds=3.0)]
        self.found = Evidence()
        for peer in PEERS:
            self.found.jobs[peer] = {
                "j-whole": self.job("whole", "completed", 4, 0), "j-gone": self.job("gone", "cancelled", 0, 0),
                "j-sick": self.job("sick", "failed", 2, 1),
            }  # fmt: skip
            self.found.frames[peer] = {
                "j-whole": rows(self.whole), "j-gone": rows(self.gone, state="pending"), "j-sick": rows(self.sick),
            }  # fmt: skip
        for order in (self.whole, self.sick):
            for frame in order.numbers:
                if frame not in order.failing:
                    self.found.pictures[f"j-{order.key}", frame] = truth(order, frame), digest(order, frame)
        self.found.delivered = {f"film/whole/whole_{frame:04d}.png": truth(self.whole, frame) for frame in self.whole.numbers}

    def job(self, name: str, state: str, done: int, failed: int) -> dict[str, Any]:
        counts = {"total": 4, "done": done, "failed": failed, "pending": 0, "running": 0}
        return {"id": f"j-{name}", "name": name, "state": state, "owner": "p0", "frames": counts, "waiting_because": []}

    def everywhere(self, job: str, **fields: Any) -> None:
        for peer in PEERS:
            self.found.jobs[peer][job].update(fields)

    def frame(self, job: str, index: int, peers: tuple[str, ...] = PEERS, **fields: Any) -> None:
        for peer in peers:
            self.found.frames[peer][job][index].update(fields)

    def broken(self) -> set[str]:
        verdicts = judge(self.lines, self.found, truth)
        return {rule.__name__ for rule, verdict in zip(RULES, verdicts, strict=True) if not verdict.holds}


def lost(case: Forgery) -> None:
    del case.found.jobs["p2"]["j-whole"]


def lost_everywhere(case: Forgery) -> None:
    for peer in PEERS:
        del case.found.jobs[peer]["j-whole"], case.found.frames[peer]["j-whole"]
    case.found.delivered = {}


def never_accepted(case: Forgery) -> None:
    case.lines.append(line("intend", key="more", order=Order("more", "null", (1, 1), (64, 48)).document()))
    case.lines.append(asked("submit", "more", "", 503))


def doubled(case: Forgery) -> None:
    for peer in PEERS:
        case.found.jobs[peer]["j-other"] = {**case.job("whole", "completed", 4, 0), "id": "j-other"}
        case.found.frames[peer]["j-other"] = rows(case.whole)


def two_ids(case: Forgery) -> None:
    case.lines.append(asked("submit", "whole", "j-other", 202))


def uninvited(case: Forgery) -> None:
    for peer in PEERS:
        case.found.jobs[peer]["j-x"] = {**case.job("x", "completed", 0, 0), "id": "j-x"}


def never_ended(case: Forgery) -> None:
    case.everywhere("j-whole", state="running")


def cancel_forgotten(case: Forgery) -> None:
    case.everywhere("j-gone", state="completed")
    for index in range(2):
        case.frame("j-gone", index, state="done")
        case.found.pictures["j-gone", index + 1] = truth(case.gone, index + 1), digest(case.gone, index + 1)


def cancelled_by_nobody(case: Forgery) -> None:
    case.everywhere("j-whole", state="cancelled")


def failed_for_nothing(case: Forgery) -> None:
    case.everywhere("j-whole", state="failed")
    case.frame("j-whole", 2, state="failed", error="crash")
    del case.found.delivered["film/whole/whole_0003.png"]


def zombie_lease(case: Forgery) -> None:
    case.everywhere("j-whole", frames={**case.found.jobs["p0"]["j-whole"]["frames"], "running": 1})


def one_disagrees(case: Forgery) -> None:
    case.found.jobs["p1"]["j-whole"]["owner"] = "p1"


def one_frame_disagrees(case: Forgery) -> None:
    case.frame("j-whole", 3, ("p2",), digest="other")


def slow(case: Forgery) -> None:
    case.found.slow.append("p1: frame 1 of j-whole took 30 s: 200")


def unanswered(case: Forgery) -> None:
    case.found.unanswered.append("p1: GET /api/v1/jobs: 503")


def frame_missing(case: Forgery) -> None:
    for peer in PEERS:
        del case.found.frames[peer]["j-whole"][1]
    del case.found.delivered["film/whole/whole_0002.png"]


def frame_doubled(case: Forgery) -> None:
    for peer in PEERS:
        case.found.frames[peer]["j-whole"].append(case.found.frames[peer]["j-whole"][0])


def frame_not_done(case: Forgery) -> None:
    case.frame("j-whole", 1, state="pending")
    del case.found.delivered["film/whole/whole_0002.png"]


def poison_done(case: Forgery) -> None:
    case.frame("j-sick", 1, state="done")
    case.found.pictures["j-sick", 6] = truth(case.sick, 6), digest(case.sick, 6)


def rerender_forgotten(case: Forgery) -> None:
    case.lines.append(asked("rerender", "whole", "j-whole", 200, frames=[2, 3]))


def wrong_pixel(case: Forgery) -> None:
    case.found.pictures["j-whole", 2] = truth(case.whole, 3), digest(case.whole, 2)


def broken_picture(case: Forgery) -> None:
    case.found.pictures["j-whole", 2] = "broken: truncated", digest(case.whole, 2)


def no_bytes(case: Forgery) -> None:
    del case.found.pictures["j-whole", 2]


def wrong_digest(case: Forgery) -> None:
    case.found.pictures["j-whole", 2] = truth(case.whole, 2), "0" * 64


def undelivered(case: Forgery) -> None:
    del case.found.delivered["film/whole/whole_0002.png"]


def delivered_wrong(case: Forgery) -> None:
    case.found.delivered["film/whole/whole_0002.png"] = truth(case.whole, 1)


def stray_file(case: Forgery) -> None:
    case.found.delivered["film/whole/.rendermesh-1234"] = "broken: half"


def rendered_twice(case: Forgery) -> None:
    case.lines += [line("event", at=9.0, name="frame_committed", job="j-whole", frame=frame, at_peer="p1") for frame in (1, 2)]


def orphan(case: Forgery) -> None:
    case.found.processes.append("4711: python driver")


def leftover(case: Forgery) -> None:
    case.found.leftovers.append("p1: work/a/main_0001.png")


def fell_over(case: Forgery) -> None:
    case.lines.append(line("ended", peer="p1", code=1, log="Traceback"))


def complained(case: Forgery) -> None:
    case.lines.append(line("complaint", peer="p1", name="workshop_broke", text="Traceback"))


def answered_500(case: Forgery) -> None:
    case.lines.append(asked("pause", "whole", "j-whole", 500))


def too_late(case: Forgery) -> None:
    case.lines.append(line("settled", in_time=False, seconds=180.0))


def stayed_paused(case: Forgery) -> None:
    case.lines.append(asked("pause", "whole", "j-whole", 200))
    case.lines.append(asked("resume", "whole", "j-whole", 200))
    case.lines.append(line("overruled", key="whole", job="j-whole"))


FORGED: list[tuple[Callable[[Forgery], None], set[str]]] = [
    (lost, {"nothing_is_lost"}),
    (lost_everywhere, {"nothing_is_lost", "each_frame_once"}),
    (never_accepted, {"all_was_accepted"}),
    (doubled, {"nothing_is_doubled"}),
    (two_ids, {"nothing_is_doubled", "nothing_is_lost"}),
    (uninvited, {"nothing_is_doubled"}),
    (never_ended, {"all_has_ended"}),
    (cancel_forgotten, {"all_has_ended"}),
    (cancelled_by_nobody, {"all_has_ended"}),
    (failed_for_nothing, {"all_has_ended", "each_frame_once"}),
    (zombie_lease, {"all_has_ended"}),
    (stayed_paused, {"all_has_ended"}),
    (one_disagrees, {"all_agree"}),
    (one_frame_disagrees, {"all_agree"}),
    (unanswered, {"all_agree"}),
    (slow, {"all_agree"}),
    (frame_missing, {"each_frame_once"}),
    (frame_doubled, {"each_frame_once"}),
    (frame_not_done, {"each_frame_once"}),
    (poison_done, {"each_frame_once"}),
    (rerender_forgotten, {"each_frame_once"}),
    (wrong_pixel, {"every_picture_is_right"}),
    (broken_picture, {"every_picture_is_right"}),
    (no_bytes, {"every_picture_is_right"}),
    (wrong_digest, {"every_picture_is_right"}),
    (undelivered, {"every_file_is_right"}),
    (delivered_wrong, {"every_file_is_right"}),
    (stray_file, {"every_file_is_right"}),
    (rendered_twice, {"little_is_rendered_twice"}),
    (orphan, {"nothing_is_left_over"}),
    (leftover, {"nothing_is_left_over"}),
    (fell_over, {"nobody_fell_over"}),
    (complained, {"nobody_fell_over"}),
    (answered_500, {"nobody_fell_over"}),
    (too_late, {"all_settled"}),
]


def test_an_honest_history_passes():
    assert Forgery().broken() == set()


@pytest.mark.parametrize(("forge", "rules"), FORGED, ids=[forge.__name__ for forge, _ in FORGED])
def test_a_forged_history_is_found(forge: Callable[[Forgery], None], rules: set[str]):
    case = Forgery()
    forge(case)
    assert case.broken() == rules


def test_every_rule_bites():
    assert set.union(*(rules for _, rules in FORGED)) == {rule.__name__ for rule in RULES}


def one_rerender(case: Forgery) -> None:
    case.lines.append(line("event", at=9.0, name="frame_committed", job="j-whole", frame=1, at_peer="p1"))


def several_while_cut(case: Forgery) -> None:
    case.lines.insert(0, line("fault", at=0.5, kind="partition", number=1, peers=["p0"]))
    rendered_twice(case)


def several_by_a_disowned_original(case: Forgery) -> None:
    """It is cut off from when its copy came until its next start."""
    twin = line("fault", at=7.0, began=0.5, kind="twin", number=1, peers=["p1"], slots=0, original_first=False)
    again = line("fault", at=20.0, kind="kill", number=2, peers=["p1"], slots=0)
    case.lines = [twin, line("over", at=2.0, kind="twin", number=1), *case.lines]
    rendered_twice(case)
    for event in case.lines:
        if event["op"] == "event" and event["name"] == "frame_committed" and event["at"] == 9.0:
            event["at"] = 19.0
    case.lines += [again, line("over", at=21.0, kind="kill", number=2)]


def overruled_while_cut(case: Forgery) -> None:
    case.lines.insert(0, line("fault", at=0.5, kind="partition", number=1, peers=["p0"]))
    stayed_paused(case)


def asked_for_again(case: Forgery) -> None:
    rerender_forgotten(case)
    for index in (1, 2):
        case.frame("j-whole", index, generation=1)
    rendered_twice(case)


def cancel_without_an_answer(case: Forgery) -> None:
    case.lines.append(asked("cancel", "whole", "j-whole", 0))


def cancelled_before_anybody_looked(case: Forgery) -> None:
    for peer in PEERS:
        case.found.frames[peer]["j-gone"] = []


def what_a_full_disk_makes_one_say(case: Forgery) -> None:
    case.lines.append(line("complaint", peer="p1", name="store", text="[Errno 28] No space left on device"))


ALLOWED = [
    one_rerender,
    several_while_cut,
    several_by_a_disowned_original,
    overruled_while_cut,
    asked_for_again,
    cancel_without_an_answer,
    cancelled_before_anybody_looked,
    what_a_full_disk_makes_one_say,
]


@pytest.mark.parametrize("forge", ALLOWED)
def test_what_is_allowed_is_not_complained_of(forge: Callable[[Forgery], None]):
    case = Forgery()
    forge(case)
    assert case.broken() == set()


def test_a_cancel_without_an_answer_may_have_happened():
    case = Forgery()
    cancel_without_an_answer(case)
    case.everywhere("j-whole", state="cancelled")
    assert case.broken() == set()


def test_the_story_of_a_violation_is_its_job_and_the_faults():
    case = Forgery()
    never_ended(case)
    violations = [one for verdict in judge(case.lines, case.found, truth) for one in verdict.violations]
    told = list(story(case.lines, violations[0]))
    assert {one["op"] for one in told} == {"intend", "submit", "event", "fault", "over"}
    assert {one["key"] for one in told if "key" in one} == {"whole"}
