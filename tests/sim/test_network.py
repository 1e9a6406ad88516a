from __future__ import annotations

from random import Random

from protocol.ids import JobId
from protocol.wire.gossip import Ack, Ping
from protocol.wire.work import Wake
from tests.sim.faults import CALM, Faults
from tests.sim.network import LATENCY_S, Network, read_datagram, read_stream, wire_datagram, wire_stream


def wires(faults: Faults = CALM) -> Network:
    return Network(Random(1), faults)


def test_without_faults_a_datagram_arrives_once_within_the_latency():
    for _ in range(100):
        arrivals, what = wires().datagram(0, 1, 10.0)
        assert what == ""
        assert len(arrivals) == 1
        assert LATENCY_S[0] <= arrivals[0] - 10.0 <= LATENCY_S[1]


def test_datagrams_are_lost_doubled_and_late():
    assert wires(Faults(loss=1.0)).datagram(0, 1, 0.0) == ([], "lost")
    assert len(wires(Faults(duplicate=1.0)).datagram(0, 1, 0.0)[0]) == 2
    network = wires(Faults(reorder=1.0))
    arrivals = [network.datagram(0, 1, at * 0.001)[0][0] for at in range(50)]
    assert arrivals != sorted(arrivals)


def test_a_cut_may_have_one_direction():
    network = wires()
    network.blocked[0, 1] = None
    assert network.datagram(0, 1, 0.0) == ([], "blocked")
    assert network.datagram(1, 0, 0.0)[0] != []
    assert network.stream(1, 0, 0.0, is_up=True).fails_at is not None, "a stream needs both"


def test_streams_keep_their_order():
    network = wires(Faults(reorder=1.0, loss=1.0))
    arrivals = [network.stream(0, 1, at * 0.0001, is_up=True).arrives_at for at in range(100)]
    assert None not in arrivals
    assert arrivals == sorted(arrivals)  # type: ignore[type-var]


def test_who_is_down_refuses_and_who_is_cut_off_is_silent():
    network = wires()
    down = network.stream(0, 1, 0.0, is_up=False)
    assert (down.arrives_at, down.refused) == (None, True)
    network.blocked[0, 1] = None
    cut = network.stream(0, 1, 0.0, is_up=True)
    assert (cut.arrives_at, cut.refused) == (None, False)


def test_a_broken_stream_may_have_delivered_all_the_same():
    network = wires(Faults(stream_break=1.0))
    ends = [network.stream(0, 1, 0.0, is_up=True) for _ in range(100)]
    assert all(end.fails_at is not None for end in ends)
    assert 20 < sum(end.arrives_at is not None for end in ends) < 80


def test_messages_pass_through_the_real_codec():
    wake = Wake(JobId("ab" * 16))
    assert read_stream(wire_stream(wake)) == wake
    assert read_datagram(wire_datagram((Ping(7, None), Ack(7, 7401)))) == (Ping(7, None), Ack(7, 7401))
