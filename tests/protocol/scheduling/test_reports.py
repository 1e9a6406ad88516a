from __future__ import annotations

from protocol import limits
from protocol.ids import PeerId
from protocol.scheduling.reports import Reports
from tests.protocol.making import ANNA, BEN, JOB, done, lease, report

GIVEN = lease(1, 2)


def anyone(peer: PeerId) -> bool:
    return True


def open_reports() -> Reports:
    reports = Reports()
    reports.add(ANNA, report(GIVEN, 1, done(1)), 10.0)
    return reports


def test_a_report_is_sent_again_until_it_is_acknowledged():
    reports = open_reports()
    assert reports.due(10.0, anyone) == []
    assert [owner for owner, _ in reports.due(13.0, anyone)] == [ANNA]
    assert reports.next_at(anyone) == 13.0 + limits.REPORT_RESEND_S
    reports.drop(GIVEN.attempts[0])
    assert not reports
    assert reports.next_at(anyone) is None


def test_an_owner_that_is_away_is_waited_for_without_a_deadline():
    reports = open_reports()
    assert reports.due(99.0, lambda peer: False) == []
    assert reports.next_at(lambda peer: False) is None
    assert len(reports.due(99.0, anyone)) == 1


def test_a_report_follows_its_job_to_another_owner():
    reports = open_reports()
    reports.move(JOB, BEN)
    assert [owner for owner, _ in reports.due(13.0, anyone)] == [BEN]


def test_an_ended_job_wants_no_reports():
    reports = open_reports()
    reports.drop_job(JOB)
    assert not reports


def test_an_owner_that_never_answers_is_given_up_in_the_end():
    reports = open_reports()
    now_s, sends = 10.0, 0
    while reports and sends < 10 * limits.REPORT_SENDS_MAX:
        now_s += limits.REPORT_RESEND_S
        sends += len(reports.due(now_s, anyone))
    assert sends == limits.REPORT_SENDS_MAX - 1
