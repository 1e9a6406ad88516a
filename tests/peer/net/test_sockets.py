from __future__ import annotations

import socket

import pytest

from peer.net.sockets import bind_datagram, bind_stream
from protocol.errors import Invalid, Unavailable


def test_port_zero_is_a_real_port_afterwards():
    for bind in (bind_stream, bind_datagram):
        with bind("127.0.0.1", 0) as sock:
            assert sock.getsockname()[1] > 0


def test_a_taken_port_is_refused_by_name():
    with bind_stream("127.0.0.1", 0) as holder:
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(Unavailable, match=f"Port {port} on 127.0.0.1 is taken") as caught:
            bind_stream("127.0.0.1", port)
        assert caught.value.code == "port_taken"


def test_a_taken_datagram_port_is_refused():
    with bind_datagram("127.0.0.1", 0) as holder, pytest.raises(Unavailable, match="is taken"):
        bind_datagram("127.0.0.1", holder.getsockname()[1])


def test_a_taken_port_becomes_any_port_when_that_is_allowed():
    with bind_stream("127.0.0.1", 0) as holder:
        holder.listen()
        port = holder.getsockname()[1]
        with bind_stream("127.0.0.1", port, or_any=True) as other:
            assert other.getsockname()[1] not in (0, port)


def test_an_address_of_another_machine_is_refused_even_where_any_port_would_do():
    with pytest.raises(Unavailable) as caught:
        bind_stream("192.0.2.1", 0, or_any=True)
    assert caught.value.code == "address_unusable"


def test_a_name_is_no_address_to_bind_to():
    with pytest.raises(Invalid, match="not an IP address"):
        bind_stream("localhost", 0)


def test_ipv6_binds_as_ipv6():
    with bind_stream("::1", 0) as sock:
        assert sock.family is socket.AF_INET6
