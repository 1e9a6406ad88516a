from __future__ import annotations

from dataclasses import replace

from protocol import limits
from protocol.cards import Check, PeerCard
from protocol.health.directory import Directory, node_name
from protocol.ids import PeerId
from protocol.jobs.results import Capabilities
from protocol.kernel import Now
from protocol.services import (
    ALL_CHECKS,
    ALL_NODES,
    ALL_SERVICES,
    CheckRow,
    Service,
    check_to_bytes,
    node_topic,
    service_to_bytes,
    service_topic,
)
from protocol.signals import CatalogChanged, MemberForgotten, MemberState, PeerChanged

ME, OTHER = PeerId("a" * 64), PeerId("b" * 64)
CARD = PeerCard("oak", "http://10.0.0.1:7700", "1.0", labels=(("gpu", "rtx"),))
WEB = Service("web-1", "web", ("a",), "127.0.0.1", 80)
NOW = Now(1.0, 1)


class Heard(Directory):
    """A directory with short words for what it hears."""

    def peer(self, peer: PeerId, state: MemberState = "alive", card: PeerCard | None = CARD, host: str = "10.0.0.1") -> Heard:
        self.handle(PeerChanged(peer, state, 1, host, card), NOW)
        return self

    def service(self, writer: PeerId, service: Service) -> Heard:
        return self.row(writer, f"service/{service.id}", service_to_bytes(service))

    def check(self, writer: PeerId, check: CheckRow) -> Heard:
        return self.row(writer, f"check/{check.id}", check_to_bytes(check))

    def row(self, writer: PeerId, key: str, value: bytes | None) -> Heard:
        self.handle(CatalogChanged(writer, key, value), NOW)
        return self

    def statuses(self, name: str) -> dict[str, str]:
        [seen] = self.instances(name)
        return {check.check.id: check.check.status for check in self.checks_for(seen)}


def heard() -> Heard:
    return Heard(me=ME, run_epoch=1).peer(ME)


def test_each_peer_is_a_node_with_a_check_of_its_life_and_a_service():
    directory = heard()
    [node] = directory.nodes()
    assert (node.name, node.host, node.port, node.meta) == ("oak-aaaaaaaa", "10.0.0.1", 7700, (("gpu", "rtx"),))
    assert directory.statuses("rendermesh") == {"serfHealth": "passing"}
    [seen] = directory.instances("rendermesh")
    assert (seen.service.tags, seen.service.port) == (("gpu=rtx",), 7700)


def test_the_checks_and_renderers_of_a_card_are_those_of_the_peers_own_service():
    capable = replace(CARD, capabilities=(Capabilities("null", "1", "", "null"),), checks=(Check("disk", "warning", "low"),))
    directory = heard().peer(ME, card=capable)
    assert directory.statuses("rendermesh") == {"rendermesh:disk": "warning", "serfHealth": "passing"}
    assert "renderer=null" in directory.instances("rendermesh")[0].service.tags
    drained = directory.peer(ME, card=replace(capable, draining=True))
    assert drained.statuses("rendermesh")["rendermesh:drain"] == "critical"


def test_a_forgotten_peer_is_gone_and_whoever_waits_hears_of_it():
    for state in ("dead", "left"):
        directory = heard().peer(OTHER).service(OTHER, WEB).peer(OTHER, state)
        topics = (ALL_NODES, ALL_SERVICES, ALL_CHECKS, node_topic(OTHER), service_topic("web"))
        before = [directory.index_of(topic) for topic in topics]
        directory.handle(MemberForgotten(OTHER), NOW)
        assert [node.peer for node in directory.members()] == [ME]
        assert directory.instances("web") == []
        assert all(directory.index_of(topic) > index for topic, index in zip(topics, before, strict=True))
        index = directory.index
        directory.handle(MemberForgotten(OTHER), NOW)
        assert directory.index == index


def test_a_failed_peer_stays_with_a_critical_check_and_a_left_one_is_gone():
    directory = heard().peer(OTHER).service(OTHER, WEB)
    assert directory.statuses("web") == {"serfHealth": "passing"}
    directory.peer(OTHER, "suspect")
    assert directory.statuses("web") == {"serfHealth": "passing"}
    directory.peer(OTHER, "dead")
    assert directory.statuses("web") == {"serfHealth": "critical"}
    directory.peer(OTHER, "left")
    assert directory.instances("web") == []
    assert [node.peer for node in directory.nodes()] == [ME]
    assert [node.state for node in directory.members()] == ["alive", "left"]
    directory.peer(OTHER)
    assert directory.statuses("web") == {"serfHealth": "passing"}


def test_a_check_without_a_service_speaks_about_all_services_of_its_peer():
    directory = heard().peer(OTHER).service(OTHER, WEB).service(ME, Service("web-2", "web2"))
    directory.check(OTHER, CheckRow("load", "load", "warning"))
    directory.check(OTHER, CheckRow("mine", "mine", "passing", service="web-1"))
    directory.check(OTHER, CheckRow("its", "its", "critical", service="other"))
    assert directory.statuses("web") == {"load": "warning", "mine": "passing", "serfHealth": "passing"}
    assert directory.statuses("web2") == {"serfHealth": "passing"}


def test_what_is_published_before_membership_knows_the_peer_is_shown_with_it():
    directory = heard().service(OTHER, WEB)
    assert directory.instances("web") == []
    directory.peer(OTHER, card=None)
    assert [seen.node.name for seen in directory.instances("web")] == ["peer-bbbbbbbb"]
    assert directory.instances("rendermesh")[0].node.peer == ME


def test_a_change_raises_the_index_of_what_shows_it_and_of_nothing_else():
    directory = heard().peer(OTHER).service(OTHER, WEB).service(ME, Service("db", "db"))
    topics = [ALL_NODES, ALL_SERVICES, ALL_CHECKS, service_topic("web"), service_topic("db"), node_topic(ME), node_topic(OTHER)]

    def raised(change) -> set[str]:
        before = {topic: directory.index_of(topic) for topic in topics}
        change()
        assert all(directory.index_of(topic) >= before[topic] for topic in topics)
        return {topic for topic in topics if directory.index_of(topic) > before[topic]}

    web, other = service_topic("web"), node_topic(OTHER)
    assert raised(lambda: directory.check(OTHER, CheckRow("peer", "peer", "critical"))) == {ALL_CHECKS, web, other}
    assert raised(lambda: directory.check(OTHER, CheckRow("c", "c", "passing", service="web-1"))) == {ALL_CHECKS, web, other}
    assert raised(lambda: directory.check(OTHER, CheckRow("c", "c", "passing", service="web-1"))) == set()
    assert raised(lambda: directory.service(OTHER, replace(WEB, port=81))) == {ALL_SERVICES, web, other}
    assert raised(lambda: directory.service(OTHER, replace(WEB, name="db"))) == {ALL_SERVICES, web, other, service_topic("db")}
    assert raised(lambda: directory.service(OTHER, WEB)) >= {web, service_topic("db")}
    assert raised(lambda: directory.peer(OTHER, "dead")) == {ALL_NODES, ALL_SERVICES, ALL_CHECKS, web, other}
    assert raised(lambda: directory.peer(OTHER, "dead", replace(CARD, slots_free=3))) == set()
    assert raised(lambda: directory.row(OTHER, "service/web-1", None)) == {ALL_SERVICES, web, other}
    assert raised(lambda: directory.row(OTHER, "service/web-1", None)) == set()
    assert raised(lambda: directory.check(OTHER, CheckRow("all", "all", "critical"))) == {ALL_CHECKS, other}


def test_stamps_say_when_something_came_and_last_changed():
    directory = heard().service(ME, WEB)
    [first] = directory.instances("web")
    assert first.stamp.created == first.stamp.changed == directory.index
    [again] = directory.service(ME, replace(WEB, port=81)).instances("web")
    assert (again.stamp.created, again.stamp.changed) == (first.stamp.created, directory.index)
    assert first.stamp.changed < again.stamp.changed


def test_the_index_is_above_zero_and_never_falls_over_a_restart():
    old = heard()
    for number in range(1_000):
        old.service(ME, replace(WEB, port=number))
    assert 0 < old.index < Directory(me=ME, run_epoch=2).index_of("anything")


def test_the_index_of_what_was_never_heard_of_is_above_zero_and_rises_with_it():
    directory = heard()
    before = directory.index_of(service_topic("web"))
    assert before > 0
    assert directory.service(ME, WEB).index_of(service_topic("web")) > before


def test_topics_are_bounded_and_their_index_does_not_fall():
    directory = heard()
    directory.service(ME, WEB)
    before = directory.index_of(service_topic("web"))
    for number in range(limits.DIRECTORY_TOPICS_MAX + 10):
        directory.service(ME, Service("x", f"name{number}"))
    assert len(directory._touched) <= limits.DIRECTORY_TOPICS_MAX + 8
    assert directory.index_of(service_topic("web")) >= before


def test_rows_that_lie_about_their_key_or_pose_as_the_peers_own_are_not_shown():
    directory = heard()
    directory.row(ME, "service/other", service_to_bytes(WEB))
    directory.row(ME, "service/rendermesh", service_to_bytes(replace(WEB, id="rendermesh")))
    directory.row(ME, "check/serfHealth", check_to_bytes(CheckRow("serfHealth", "x", "critical")))
    directory.row(ME, "check/c", check_to_bytes(CheckRow("c", "x", "critical", service="rendermesh")))
    directory.row(ME, "service/bad", b"\xc1garbage")
    directory.row(ME, "check/bad", b"\x95")
    assert list(directory.names()) == ["rendermesh"]
    assert directory.statuses("rendermesh") == {"serfHealth": "passing"}


def test_one_writer_cannot_fill_the_directory():
    directory = heard()
    for number in range(limits.SERVICES_PER_PEER_MAX + 50):
        directory.service(OTHER, Service(f"s{number}", "s"))
    for number in range(limits.CHECKS_PER_PEER_MAX + 50):
        directory.check(OTHER, CheckRow(f"c{number}", "c", "passing"))
    directory.peer(OTHER)
    assert len(directory.instances("s")) <= limits.SERVICES_PER_PEER_MAX + 1
    node = directory.node(OTHER)
    assert node is not None
    assert len(directory.checks(node)) <= limits.CHECKS_PER_PEER_MAX + 2


def test_all_name_the_same_leader_and_never_a_dead_one():
    peers = [PeerId(f"{number:064x}") for number in range(9)]
    one, two = Heard(me=peers[0], run_epoch=1), Heard(me=peers[1], run_epoch=7)
    for peer in peers:
        one.peer(peer)
    for peer in reversed(peers):
        two.peer(peer)
    first, second = one.leader(), two.leader()
    assert first is not None
    assert second is not None
    assert first.peer == second.peer
    next_one = one.peer(first.peer, "dead").leader()
    assert next_one is not None
    assert next_one.peer != first.peer
    assert Heard(me=ME, run_epoch=1).leader() is None


def test_a_node_is_found_by_name_and_by_id_and_its_name_has_no_odd_letters():
    directory = heard().peer(OTHER, card=replace(CARD, name="my box/ü"))
    assert node_name(OTHER, replace(CARD, name="my box/ü")) == "my-box---bbbbbbbb"
    assert [node and node.peer for node in map(directory.node, ("my-box---bbbbbbbb", OTHER, "nope"))] == [OTHER, OTHER, None]


def test_names_gather_the_tags_of_all_instances():
    directory = heard().peer(OTHER).service(ME, WEB).service(OTHER, replace(WEB, id="web-2", tags=("b", "a")))
    assert directory.names() == {"rendermesh": ["gpu=rtx"], "web": ["a", "b"]}
