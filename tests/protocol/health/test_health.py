from __future__ import annotations

from random import Random

import pytest

from protocol import limits
from protocol.effects import Effect, Notice, Persist, Reply, RunCheck
from protocol.errors import Conflict, Invalid, NotFound, Refusal
from protocol.events import Booted, CheckEnded, HealthAsked
from protocol.health.health import Health
from protocol.ids import RequestId
from protocol.records import DropValue, PutValue
from protocol.services import (
    CheckSpec,
    Command,
    DeregisterCheck,
    DeregisterService,
    RegisterCheck,
    RegisterService,
    Service,
    SetMaintenance,
    UpdateTtl,
    check_from_bytes,
)
from protocol.signals import Publish
from tests.playbook import Playbook

WEB = Service("web-1", "web", ("a",), "127.0.0.1", 80)


def spec(key: str = "c", *, service: str = "", **fields) -> CheckSpec:
    values = {"kind": "http", "target": "http://127.0.0.1/", "interval_s": 10.0, **fields}
    return CheckSpec(key, key, service=service, **values)


def ttl(key: str = "c", *, service: str = "", **fields) -> CheckSpec:
    return CheckSpec(key, key, "ttl", service=service, ttl_s=10.0, **fields)


@pytest.fixture
def book() -> Playbook:
    return Playbook(Health(random=Random(1)))


def ask(book: Playbook, command: Command) -> object:
    book.feed(HealthAsked(RequestId("r"), command))
    return book.expect(Reply).value


def published(book: Playbook, key: str = "check/c") -> str:
    return check_from_bytes(book.expect(Publish, key=key).value or b"").status


def kept(outputs: list[Effect]) -> dict[str, bytes]:
    """What would lie on the disk after these effects."""
    values: dict[str, bytes] = {}
    for output in outputs:
        for record in output.records if isinstance(output, Persist) else ():
            match record:
                case PutValue(key, value):
                    values[key] = value
                case DropValue(key):
                    values.pop(key, None)
    return values


def test_a_service_is_durable_before_it_is_published_and_answered(book: Playbook):
    book.feed(HealthAsked(RequestId("r"), RegisterService(WEB, (spec("c", service="web-1"),))))
    kinds = [type(output) for output in book.out]
    assert kinds.index(Persist) < kinds.index(Publish) < kinds.index(Reply)
    last_persist = max(at for at, kind in enumerate(kinds) if kind is Persist)
    assert last_persist < kinds.index(Reply)


def test_a_check_is_probed_at_once_and_its_status_published(book: Playbook):
    ask(book, RegisterCheck(spec()))
    assert published(book) == "critical"
    probe = book.wait(0).expect(RunCheck)
    assert probe.spec.target == "http://127.0.0.1/"
    book.wait(60).expect_no(RunCheck)  # one at a time, however long it takes
    book.feed(CheckEnded(probe.ticket, "passing", "200 OK"))
    assert published(book) == "passing"
    book.expect(Notice, event="check_changed")
    book.wait(9.9).expect_no(RunCheck)
    book.wait(0.1).expect(RunCheck)


def test_an_output_alone_is_published_now_and_then(book: Playbook):
    ask(book, RegisterCheck(spec()))
    ticket = book.wait(0).expect(RunCheck).ticket
    book.feed(CheckEnded(ticket, "passing", "1")).forget()
    ticket = book.wait(10).expect(RunCheck).ticket
    book.feed(CheckEnded(ticket, "passing", "2")).expect_no(Publish)
    assert book.machine.checks()[0].output == "2"
    book.wait(limits.CHECK_OUTPUT_PUBLISH_S)
    assert check_from_bytes(book.expect(Publish).value or b"").output == "2"


def test_a_result_of_a_check_that_is_gone_or_defined_anew_changes_nothing(book: Playbook):
    ask(book, RegisterCheck(spec()))
    old = book.wait(0).expect(RunCheck).ticket
    ask(book, RegisterCheck(spec(notes="new")))
    book.forget().feed(CheckEnded(old, "passing", "")).expect_no(Publish)
    assert book.machine.checks()[0].status == "critical"
    new = book.wait(0).expect(RunCheck).ticket
    ask(book, DeregisterCheck("c"))
    book.forget().feed(CheckEnded(new, "passing", ""))
    assert book.out == []


def test_a_ttl_check_expires_and_is_renewed(book: Playbook):
    ask(book, RegisterCheck(ttl()))
    assert ask(book, UpdateTtl("c", "passing", "well")) is True
    book.forget().wait(9).expect_no(Publish)
    assert ask(book, UpdateTtl("c", "passing", "well")) is True
    book.wait(9.9).expect_no(Publish)
    book.wait(0.2)
    assert published(book) == "critical"
    ask(book, UpdateTtl("c", "warning", "so so"))
    assert published(book) == "warning"


@pytest.mark.parametrize("key", ["nope", "probed"])
def test_only_a_ttl_check_that_is_there_can_be_renewed(book: Playbook, key: str):
    ask(book, RegisterCheck(spec("probed")))
    refusal = ask(book, UpdateTtl(key, "passing", ""))
    assert isinstance(refusal, NotFound)
    assert refusal.message == f'CheckID "{key}" does not have associated TTL'


def test_a_service_that_stays_critical_is_taken_out(book: Playbook):
    ask(book, RegisterService(WEB, (ttl("c", service="web-1", deregister_after_s=90.0),)))
    ask(book, UpdateTtl("c", "passing", ""))
    book.forget().wait(10 + 89.0)
    book.expect_no(Publish, key="service/web-1")
    book.wait(1.0)
    assert book.expect(Publish, key="service/web-1").value is None
    assert book.expect(Notice, event="service_given_up").fields["service"] == "web-1"
    assert book.machine.services() == book.machine.checks() == []
    assert book.machine.next_deadline() is None


def test_registering_again_replaces_a_service_and_keeps_its_other_checks_unless_told(book: Playbook):
    ask(book, RegisterService(WEB, (ttl("one", service="web-1"), ttl("two", service="web-1"))))
    ask(book, UpdateTtl("one", "passing", "fine"))
    ask(book, RegisterService(Service("web-1", "web", ("b",)), (ttl("one", service="web-1"),)))
    assert [(check.spec.id, check.status) for check in book.machine.checks()] == [("one", "passing"), ("two", "critical")]
    assert book.machine.services()[0].tags == ("b",)
    ask(book, RegisterService(WEB, (ttl("one", service="web-1"),), replace_checks=True))
    assert [check.spec.id for check in book.machine.checks()] == ["one"]


def test_a_service_takes_its_checks_along_and_leaves_those_of_others(book: Playbook):
    ask(book, RegisterService(WEB, (ttl("mine", service="web-1"),)))
    ask(book, RegisterCheck(ttl("peer")))
    ask(book, DeregisterService("web-1"))
    assert [check.spec.id for check in book.machine.checks()] == ["peer"]
    assert ask(book, DeregisterService("web-1")) is True  # again is no error
    assert ask(book, DeregisterCheck("mine")) is True


def test_maintenance_is_a_critical_check_that_comes_and_goes(book: Playbook):
    ask(book, RegisterService(WEB))
    ask(book, SetMaintenance("web-1", True, "disk swap"))
    [check] = book.machine.checks()
    assert (check.spec.id, check.status, check.row.notes) == ("_service_maintenance:web-1", "critical", "disk swap")
    ask(book, SetMaintenance("web-1", True, "again"))
    assert book.machine.checks()[0].row.notes == "disk swap"
    ask(book, RegisterService(WEB, (), replace_checks=True))
    assert len(book.machine.checks()) == 1  # not ended by the application that comes up again
    ask(book, SetMaintenance("web-1", False))
    assert book.machine.checks() == []
    assert isinstance(ask(book, SetMaintenance("nope", True)), NotFound)


def test_what_was_registered_survives_a_restart_and_starts_critical(book: Playbook):
    outputs: list[Effect] = []
    for command in (
        RegisterService(WEB, (spec("c", service="web-1"), ttl("t", service="web-1"))),
        RegisterService(Service("gone", "gone")),
        DeregisterService("gone"),
        SetMaintenance("web-1", True, "why"),
        RegisterCheck(spec("peer")),
        UpdateTtl("t", "passing", ""),
    ):
        book.feed(HealthAsked(RequestId("r"), command))
    outputs += book.out
    again = Playbook(Health(random=Random(2))).feed(Booted((), {"other": b"x", **kept(outputs)}))
    assert again.machine.services() == [WEB]
    assert {check.spec.id: check.status for check in again.machine.checks()} == dict.fromkeys(
        ("_service_maintenance:web-1", "c", "peer", "t"), "critical"
    )
    assert {publish.key for publish in again.take(Publish)} == {
        "service/web-1", "check/c", "check/t", "check/peer", "check/_service_maintenance:web-1"
    }  # fmt: skip
    again.wait(10)
    assert {probe.spec.id for probe in again.take(RunCheck)} == {"c", "peer"}


def test_after_a_restart_probes_are_spread_over_their_interval():
    values: dict[str, bytes] = {}
    book = Playbook(Health(random=Random(1)))
    for number in range(100):
        book.feed(HealthAsked(RequestId("r"), RegisterCheck(spec(f"c{number}"))))
    values = kept(book.out)
    again = Playbook(Health(random=Random(3))).feed(Booted((), values))
    early = len(again.wait(1).take(RunCheck))
    assert 1 <= early <= 30
    assert early + len(again.wait(9).take(RunCheck)) == 100


def test_a_row_that_cannot_be_read_is_said_and_the_others_are_kept(book: Playbook):
    book.feed(HealthAsked(RequestId("r"), RegisterService(WEB)))
    values = {**kept(book.out), "health/service/odd": b"\xc1", "health/check/odd": b"", "health/check/x": b"\x90"}
    again = Playbook(Health(random=Random(1))).feed(Booted((), values))
    assert again.machine.services() == [WEB]
    assert len(again.take(Notice, event="health_row_unread")) == 3


def test_a_check_whose_service_is_not_there_is_refused(book: Playbook):
    refusal = ask(book, RegisterCheck(ttl("c", service="nope")))
    assert isinstance(refusal, NotFound)
    assert refusal.message == 'ServiceID "nope" does not exist'
    assert book.machine.checks() == []


@pytest.mark.parametrize(
    "command",
    [
        RegisterService(Service("rendermesh", "web")),
        RegisterService(WEB, (ttl("serfHealth", service="web-1"),)),
        RegisterCheck(ttl("_service_maintenance:web-1")),
        RegisterCheck(ttl("rendermesh:disk")),
        RegisterService(Service("big", "big", tuple(f"{n}" * 250 for n in range(10, 74)), meta=(("k", "ü" * 30_000),))),
    ],
)
def test_reserved_and_oversized_ones_are_refused_and_change_nothing(book: Playbook, command: Command):
    assert isinstance(ask(book, command), Invalid)
    assert book.machine.services() == book.machine.checks() == []
    assert book.out == []


def refused(book: Playbook, command: Command) -> Refusal:
    answer = ask(book, command)
    assert isinstance(answer, Conflict), answer
    return answer


def test_services_and_checks_are_bounded(book: Playbook):
    for number in range(limits.SERVICES_PER_PEER_MAX):
        assert ask(book, RegisterService(Service(f"s{number}", "s"))) is True
    assert refused(book, RegisterService(Service("more", "s"))).code == "too_many_services"
    assert ask(book, RegisterService(Service("s1", "renamed"))) is True
    for number in range(limits.CHECKS_PER_PEER_MAX):
        assert ask(book, RegisterCheck(ttl(f"c{number}"))) is True
    assert refused(book, RegisterCheck(ttl("more"))).code == "too_many_checks"
    assert refused(book, RegisterService(WEB_AS_S1, (ttl("more", service="s1"),))).code == "too_many_checks"
    assert ask(book, RegisterCheck(ttl("c1", notes="changed"))) is True


WEB_AS_S1 = Service("s1", "web")


def test_the_checks_of_one_service_are_bounded(book: Playbook):
    ask(book, RegisterService(WEB, tuple(ttl(f"c{n}", service="web-1") for n in range(limits.CHECKS_PER_SERVICE_MAX))))
    assert refused(book, RegisterCheck(ttl("more", service="web-1"))).code == "too_many_checks"
    assert refused(book, RegisterService(WEB, (ttl("more", service="web-1"),))).code == "too_many_checks"
    assert ask(book, RegisterService(WEB, (ttl("more", service="web-1"),), replace_checks=True)) is True
    assert [check.spec.id for check in book.machine.checks()] == ["more"]
