"""This peer's own services and checks: registered, probed, kept over restarts, published to all.

Decides what is accepted, when a check is probed or expires, and what the others are told. Refuses to know how a probe is
made (`RunCheck`), who may ask, and what other peers publish (`protocol.health.directory`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Final, assert_never

from protocol import limits
from protocol.cards import CheckStatus
from protocol.effects import Effect, Notice, Persist, Reply, RunCheck
from protocol.errors import Conflict, Invalid, Malformed, NotFound, Refusal
from protocol.events import Booted, CheckEnded, Event, HealthAsked
from protocol.health.checks import Check
from protocol.ids import Ticket
from protocol.kernel import Now
from protocol.records import DropValue, PutValue, Record
from protocol.services import (
    ALIVE_CHECK,
    CHECK_PREFIX,
    OWN_SERVICE,
    SERVICE_PREFIX,
    CheckSpec,
    Command,
    DeregisterCheck,
    DeregisterService,
    RegisterCheck,
    RegisterService,
    Service,
    SetMaintenance,
    UpdateTtl,
    check_to_bytes,
    service_from_bytes,
    service_to_bytes,
    spec_from_bytes,
    spec_to_bytes,
)
from protocol.signals import Publish, Signal

Output = Effect | Signal
KEPT: Final = "health/"
MAINTENANCE_PREFIX: Final = "_service_maintenance:"
MAINTENANCE_REASON: Final = "Maintenance mode is enabled for this service, but no reason was provided. This is a default message."


class Health:
    """Invariants: every check that names a service names one that is here; nothing is answered or published before it is
    durable; at most one probe of a check runs."""

    def __init__(self, *, random: Random) -> None:
        self._random = random
        self._services: dict[str, Service] = {}
        self._checks: dict[str, Check] = {}
        self._probes: dict[Ticket, str] = {}
        self._tickets = 0
        self._next: float | None = None
        self._moved = False

    # reading

    def services(self) -> list[Service]:
        """By id."""
        return [self._services[key] for key in sorted(self._services)]

    def checks(self) -> list[Check]:
        """By id, as they stand now. Read only."""
        return [self._checks[key] for key in sorted(self._checks)]

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events: Booted, HealthAsked, CheckEnded."""
        match event:
            case Booted(_, values):
                outputs = self._remember(values, now)
            case HealthAsked(request, command):
                try:
                    outputs = [*self._obey(command, now), Reply(request, True)]
                except Refusal as refusal:
                    return [Reply(request, refusal)]
            case CheckEnded(ticket, status, output):
                check = self._checks.get(self._probes.pop(ticket, ""))
                if check is None or check.running != ticket:
                    return []  # forgotten or defined anew meanwhile
                was = check.status
                check.probed(status, output, now_s=now.monotonic_s)
                outputs = self._told(check, was, now)
            case _:
                return []
        self._moved = True
        return outputs

    def on_deadline(self, now: Now) -> list[Output]:
        """Probe what is due, let expire what was not renewed, take out what was critical for too long."""
        outputs: list[Output] = []
        for key in [key for key, check in self._checks.items() if (at := check.next_s) is not None and at <= now.monotonic_s]:
            check = self._checks.get(key)
            if check is not None:  # its service may have gone with another check
                outputs += self._attend(check, now)
        self._moved = True
        return outputs

    def next_deadline(self) -> float | None:
        if self._moved:
            self._next = min((at for check in self._checks.values() if (at := check.next_s) is not None), default=None)
            self._moved = False
        return self._next

    # time

    def _attend(self, check: Check, now: Now) -> list[Output]:
        at, outputs = now.monotonic_s, list[Output]()
        if check.due_s is not None and check.due_s <= at:
            if check.spec.kind == "ttl":
                was = check.status
                check.expired(now_s=at)
                outputs += self._told(check, was, now)
            else:
                outputs.append(self._probe(check))
        if check.publish_at_s is not None and check.publish_at_s <= at:
            outputs += self._publish(check, now)
        if check.gives_up_at_s is not None and check.gives_up_at_s <= at:
            fields = {"service": check.spec.service, "check": check.spec.id, "seconds": check.spec.deregister_after_s}
            outputs.append(Notice("service_given_up", "warning", fields=fields))
            outputs += self._deregister(check.spec.service)
        return outputs

    def _probe(self, check: Check) -> RunCheck:
        self._tickets += 1
        check.running, check.due_s = Ticket(f"check-{self._tickets}"), None
        self._probes[check.running] = check.spec.id
        return RunCheck(check.running, check.spec)

    def _told(self, check: Check, was: str, now: Now) -> list[Output]:
        """After a result: a new status is published at once, a new output alone every now and then."""
        if check.status != was:
            level: Final = "info" if check.status == "passing" else "warning"
            fields = {"check": check.spec.id, "service": check.spec.service, "status": check.status, "was": was}
            return [*self._publish(check, now), Notice("check_changed", level, fields=fields)]
        if check.row != check.published and check.publish_at_s is None:
            check.publish_at_s = now.monotonic_s + limits.CHECK_OUTPUT_PUBLISH_S
        return []

    def _publish(self, check: Check, now: Now) -> list[Output]:
        check.published, check.publish_at_s = check.row, None
        return [Publish(CHECK_PREFIX + check.spec.id, check_to_bytes(check.row))]

    # boot

    def _remember(self, values: Mapping[str, bytes], now: Now) -> list[Output]:
        """What was registered before the restart; a row that cannot be read any more is dropped and said."""
        kept = {key: values[key] for key in sorted(values) if key.startswith(KEPT)}
        outputs: list[Output] = []
        for prefix, read in ((KEPT + SERVICE_PREFIX, self._recall_service), (KEPT + CHECK_PREFIX, self._recall_check)):
            for key, value in kept.items():
                if key.startswith(prefix):
                    try:
                        outputs += read(value, now)
                    except Malformed as error:
                        outputs += [Notice("health_row_unread", "error", fields={"key": key, "reason": str(error)})]
        return outputs

    def _recall_service(self, value: bytes, _now: Now) -> list[Output]:
        service = service_from_bytes(value)
        self._services[service.id] = service
        return [Publish(SERVICE_PREFIX + service.id, value)]

    def _recall_check(self, value: bytes, now: Now) -> list[Output]:
        """First probes are spread over the interval, so that a restart is no burst."""
        spec = spec_from_bytes(value)
        if spec.service and spec.service not in self._services:
            raise Malformed(f"its service {spec.service!r} is not there")
        first_s = now.monotonic_s + self._random.uniform(0, spec.interval_s)
        check = self._checks[spec.id] = Check.fresh(spec, now_s=now.monotonic_s, first_s=first_s)
        return self._publish(check, now)

    # commands

    def _obey(self, command: Command, now: Now) -> list[Output]:
        match command:
            case RegisterService(service, checks, replace_checks):
                return self._register(service, checks, replace_checks, now)
            case DeregisterService(service_id):
                return self._deregister(service_id)
            case SetMaintenance(service_id, on, reason):
                return self._maintain(service_id, on, reason, now)
            case RegisterCheck(spec):
                self._refuse_check(spec)
                return self._define([spec], now)
            case DeregisterCheck(check_id):
                return self._drop([check_id] if check_id in self._checks else [])
            case UpdateTtl(check_id, status, output):
                return self._renew(check_id, status, output, now)
            case _:
                assert_never(command)

    def _register(self, service: Service, checks: tuple[CheckSpec, ...], replace: bool, now: Now) -> list[Output]:
        self._refuse_service(service)
        others = [
            one.spec.id for one in self._checks.values() if one.spec.service == service.id and one.spec.kind != "maintenance"
        ]
        gone = [one for one in others if one not in {spec.id for spec in checks}] if replace else []
        if len({*others, *(spec.id for spec in checks)}) - len(gone) > limits.CHECKS_PER_SERVICE_MAX:
            raise Conflict("too_many_checks", f"a service has at most {limits.CHECKS_PER_SERVICE_MAX} checks")
        for spec in checks:
            self._refuse_check(spec, service.id)
        self._refuse_number(len(self._checks) - len(gone) + sum(spec.id not in self._checks for spec in checks))
        packed = service_to_bytes(service)
        known = self._services.get(service.id) == service
        self._services[service.id] = service
        outputs: list[Output] = [Persist((PutValue(KEPT + SERVICE_PREFIX + service.id, packed),))]
        outputs += [*self._drop(gone), *self._define(checks, now), Publish(SERVICE_PREFIX + service.id, packed)]
        return (
            outputs if known else [*outputs, Notice("service_registered", fields={"service": service.id, "name": service.name})]
        )

    def _define(self, specs: Iterable[CheckSpec], now: Now) -> list[Output]:
        records: list[Record] = []
        outputs: list[Output] = []
        for spec in specs:
            known = self._checks.get(spec.id)
            at = now.monotonic_s
            check = Check.fresh(spec, now_s=at, first_s=at) if known is None else known.redefine(spec, now_s=at)
            self._checks[spec.id] = check
            records.append(PutValue(KEPT + CHECK_PREFIX + spec.id, spec_to_bytes(spec)))
            outputs += self._publish(check, now)
        return [Persist(tuple(records)), *outputs] if records else []

    def _drop(self, check_ids: Iterable[str]) -> list[Output]:
        gone = list(check_ids)
        for key in gone:
            del self._checks[key]
        records = tuple(DropValue(KEPT + CHECK_PREFIX + key) for key in gone)
        return [Persist(records), *(Publish(CHECK_PREFIX + key, None) for key in gone)] if gone else []

    def _deregister(self, service_id: str) -> list[Output]:
        if self._services.pop(service_id, None) is None:
            return []
        checks = self._drop([key for key, check in self._checks.items() if check.spec.service == service_id])
        gone: list[Output] = [
            Persist((DropValue(KEPT + SERVICE_PREFIX + service_id),)),
            Publish(SERVICE_PREFIX + service_id, None),
            Notice("service_deregistered", fields={"service": service_id}),
        ]
        return [*checks, *gone]

    def _maintain(self, service_id: str, on: bool, reason: str, now: Now) -> list[Output]:
        if service_id not in self._services:
            raise NotFound("no_such_service", f'No service registered with ID "{service_id}"')
        key = MAINTENANCE_PREFIX + service_id
        if not on:
            return self._drop([key] if key in self._checks else [])
        if key in self._checks:
            return []
        notes = (reason or MAINTENANCE_REASON)[: limits.CHECK_NOTES_CHARS_MAX]
        return self._define([CheckSpec(key, "Service Maintenance Mode", "maintenance", service_id, notes)], now)

    def _renew(self, check_id: str, status: CheckStatus, output: str, now: Now) -> list[Output]:
        check = self._checks.get(check_id)
        if check is None or check.spec.kind != "ttl":
            raise NotFound("no_such_check", f'CheckID "{check_id}" does not have associated TTL')
        was = check.status
        check.updated(status, output, now_s=now.monotonic_s)
        return self._told(check, was, now)

    # refusing

    def _refuse_service(self, service: Service) -> None:
        if service.id == OWN_SERVICE:
            raise Invalid("reserved_id", f"the service ID {OWN_SERVICE!r} is the peer's own; take another ID (the name is free)")
        if len(service_to_bytes(service)) > limits.SERVICE_ROW_BYTES_MAX:
            raise Invalid("service_too_large", f"tags and metadata together take more than {limits.SERVICE_ROW_BYTES_MAX} bytes")
        if service.id not in self._services and len(self._services) >= limits.SERVICES_PER_PEER_MAX:
            raise Conflict("too_many_services", f"this peer holds {limits.SERVICES_PER_PEER_MAX} services, and that is the limit")

    def _refuse_check(self, spec: CheckSpec, service_id: str = "") -> None:
        """`service_id`: the service that is being registered with it."""
        if spec.id == ALIVE_CHECK or spec.id.startswith((MAINTENANCE_PREFIX, OWN_SERVICE + ":")):
            raise Invalid("reserved_id", f"the check ID {spec.id!r} is one of the peer's own; take another")
        if spec.service and spec.service not in (service_id, *self._services):
            raise NotFound("no_such_service", f'ServiceID "{spec.service}" does not exist')
        if service_id:
            return
        beside = sum(one.spec.service == spec.service and one.spec.id != spec.id for one in self._checks.values())
        if spec.service and beside >= limits.CHECKS_PER_SERVICE_MAX:
            raise Conflict("too_many_checks", f"a service has at most {limits.CHECKS_PER_SERVICE_MAX} checks")
        self._refuse_number(len(self._checks) + (spec.id not in self._checks))

    def _refuse_number(self, checks: int) -> None:
        if checks > limits.CHECKS_PER_PEER_MAX:
            raise Conflict("too_many_checks", f"this peer holds {limits.CHECKS_PER_PEER_MAX} checks, and that is the limit")
