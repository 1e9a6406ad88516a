from __future__ import annotations

from protocol import limits
from protocol.cards import CheckStatus
from protocol.health.checks import Check, clip
from protocol.services import CheckSpec


def http(**fields) -> CheckSpec:
    return CheckSpec("c", "c", "http", target="http://127.0.0.1/", interval_s=10.0, **fields)


def ttl(**fields) -> CheckSpec:
    return CheckSpec("c", "c", "ttl", ttl_s=10.0, **fields)


def fresh(spec: CheckSpec) -> Check:
    return Check.fresh(spec, now_s=100.0, first_s=103.0)


def test_a_check_starts_critical_unless_it_says_otherwise():
    assert fresh(http()).status == "critical"
    assert fresh(http(initial="passing")).status == "passing"


def test_an_http_check_is_due_when_it_is_told_to_and_then_once_per_interval():
    check = fresh(http())
    assert check.due_s == 103.0
    check.probed("passing", "fine", now_s=104.0)
    assert check.due_s == 114.0


def test_the_nth_success_in_a_row_passes_and_a_failure_begins_the_count_anew():
    check = fresh(http(success_before_passing=3))
    results: tuple[CheckStatus, ...] = ("passing", "passing", "critical", "passing", "warning")
    for status in results:
        check.probed(status, "", now_s=104.0)
        assert check.status == "critical"
    check.probed("passing", "", now_s=104.0)
    assert check.status == "passing"


def test_the_nth_failure_in_a_row_is_critical_and_an_earlier_one_a_warning():
    check = fresh(http(initial="passing", failures_before_warning=2, failures_before_critical=3))
    seen = []
    for _ in range(3):
        check.probed("critical", "", now_s=104.0)
        seen.append(check.status)
    assert seen == ["passing", "warning", "critical"]
    check.probed("passing", "", now_s=104.0)
    assert (check.status, check.failures) == ("passing", 0)


def test_a_warning_is_a_status_of_its_own():
    check = fresh(http())
    check.probed("warning", "429", now_s=104.0)
    assert check.status == "warning"


def test_a_ttl_check_that_nobody_renews_turns_critical_and_remembers_what_was_said_last():
    check = fresh(ttl())
    check.updated("passing", "all well", now_s=105.0)
    assert (check.status, check.due_s) == ("passing", 115.0)
    check.expired(now_s=115.0)
    assert check.status == "critical"
    assert check.output == "TTL expired (last output before timeout follows): all well"
    assert check.due_s is None  # it stays so until somebody speaks


def test_thresholds_do_not_hold_up_an_application_that_says_how_it_is():
    check = fresh(ttl(success_before_passing=5))
    check.updated("passing", "", now_s=101.0)
    assert check.status == "passing"


def test_a_check_gives_up_only_after_having_been_critical_without_a_break():
    check = fresh(http(service="s", deregister_after_s=60.0))
    assert check.gives_up_at_s == 160.0
    check.probed("passing", "", now_s=150.0)
    assert check.gives_up_at_s is None
    check.probed("critical", "", now_s=170.0)
    check.probed("critical", "", now_s=190.0)
    assert check.gives_up_at_s == 230.0


def test_a_check_of_the_peer_itself_gives_up_on_nothing():
    assert fresh(http(deregister_after_s=60.0)).gives_up_at_s is None
    assert fresh(http(service="s")).gives_up_at_s is None


def test_a_new_definition_of_the_same_kind_keeps_what_is_known():
    check = fresh(http())
    check.probed("passing", "fine", now_s=104.0)
    again = check.redefine(http(notes="new"), now_s=105.0)
    assert (again.status, again.output, again.due_s, again.spec.notes) == ("passing", "fine", 105.0, "new")
    other = check.redefine(ttl(), now_s=105.0)
    assert (other.status, other.output) == ("critical", "")


def test_output_is_cut_at_whole_characters():
    assert len(clip("x" * 10_000)) == limits.CHECK_OUTPUT_BYTES_MAX
    assert clip("ä" * 10_000) == "ä" * (limits.CHECK_OUTPUT_BYTES_MAX // 2)
    assert clip("x" + "ä" * 10_000).encode() == b"x" + "ä".encode() * (limits.CHECK_OUTPUT_BYTES_MAX // 2 - 1)
    assert clip("\ud800") == "?"
