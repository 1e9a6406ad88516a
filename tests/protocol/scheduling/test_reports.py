from __future__ import annotations

import pytest

from protocol import limits
from protocol.effects import Persist, PinBlobs, UnpinJob
from protocol.ids import PeerId
from protocol.records import DropValue, PutValue
from protocol.scheduling.reports import Reports, outbox_key
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
    reports.move(JOB, BEN, 1, 11.0)
    assert [owner for owner, _ in reports.due(11.0, anyone)] == [BEN], "at once"


def test_hearsay_that_is_older_than_the_attempt_moves_no_report():
    reports = open_reports()
    reports.move(JOB, BEN, 0, 11.0)
    assert [owner for owner, _ in reports.due(13.0, anyone)] == [ANNA]


# the outbox


def stored(reports: Reports) -> dict[str, bytes]:
    records = [record for effect in reports.effects() if isinstance(effect, Persist) for record in effect.records]
    return {record.key: record.value for record in records if isinstance(record, PutValue)}


def test_what_an_owner_that_is_gone_was_not_told_outlives_the_process_with_its_bytes_pinned():
    reports = open_reports()
    reports.owner_gone(BEN)
    assert reports.effects() == [], "another one's"
    reports.owner_gone(ANNA)
    pin, put = reports.effects()
    assert isinstance(pin, PinBlobs)
    assert pin.digests == (done(1).outputs[0].digest,)
    assert isinstance(put, Persist)
    reports.owner_gone(ANNA)
    assert reports.effects() == [], "once is enough"
    again = Reports()
    again.load({record.key: record.value for record in put.records if isinstance(record, PutValue)}, 5.0)
    assert again.due(5.0, anyone) == [(GIVEN.attempts[0].owner, report(GIVEN, 1, done(1)))]
    again.drop(GIVEN.attempts[0])
    assert again.effects() == [Persist((DropValue(outbox_key(GIVEN.attempts[0])),)), UnpinJob(pin.job)]


def test_rows_of_the_outbox_that_nobody_can_read_are_left_alone():
    reports = Reports()
    reports.load({"outbox/1-x-1": b"rubbish", "deleted/x": b""}, 5.0)
    assert not reports
    assert reports.effects() == []


def test_the_outbox_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "OUTBOX_REPORTS_MAX", 1)
    reports = open_reports()
    reports.add(ANNA, report(GIVEN, 2, done(2)), 10.0)
    reports.owner_gone(ANNA)
    assert len(stored(reports)) == 1


def test_a_job_that_has_ended_leaves_nothing_in_the_outbox():
    reports = open_reports()
    reports.owner_gone(ANNA)
    reports.effects()
    reports.drop_job(JOB)
    assert Persist((DropValue(outbox_key(GIVEN.attempts[0])),)) in reports.effects()


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
