"""How ways to find peers are written."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from peer.discovery.ways import ConsulWay, DnsWay, MdnsWay, StaticWay, Way, parse_way
from tests.fuzzing import changed, examples, texts


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("mdns", MdnsWay()),
        (" mdns ", MdnsWay()),
        ("mdns:eth1", MdnsWay("eth1")),
        ("mdns:br-12ab", MdnsWay("br-12ab")),
        ("static", StaticWay()),
        ("dns:peers", DnsWay("peers", 7700)),
        ("dns:peers.example.org.:81", DnsWay("peers.example.org.", 81)),
        ("dns:_rendermesh._tcp.example.org", DnsWay("_rendermesh._tcp.example.org")),
        ("dns:peers@127.0.0.1", DnsWay("peers", server=("127.0.0.1", 53))),
        ("dns:peers:81@127.0.0.1:8600", DnsWay("peers", 81, ("127.0.0.1", 8600))),
        ("dns:peers@[::1]:8600", DnsWay("peers", server=("::1", 8600))),
        ("dns:peers@::1", DnsWay("peers", server=("::1", 53))),
        ("consul:http://127.0.0.1:8500", ConsulWay("http://127.0.0.1:8500")),
        ("consul:http://agent", ConsulWay("http://agent:8500")),
        ("consul:https://agent/", ConsulWay("https://agent:443")),
        ("consul:http://[::1]:81?service=farm", ConsulWay("http://[::1]:81", "farm")),
    ],
)
def test_a_way_is_read(text: str, way: Way):
    assert parse_way(text) == way


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "ways are"),
        ("serf", "ways are"),
        ("static:x", "ways are"),
        ("mdns:", "names no interface"),
        ("mdns:a b", "names no interface"),
        ("dns:", "names no host"),
        ("dns:a..b", "names no host"),
        ("dns:" + "a" * 64, "names no host"),
        ("dns:" + "a." * 127 + "abcd", "names no host"),
        ("dns:http://x", "from 1 to 65535"),
        ("dns:x:0", "from 1 to 65535"),
        ("dns:x:", "from 1 to 65535"),
        ("dns:x:65536", "from 1 to 65535"),
        ("dns:x:٣", "from 1 to 65535"),
        ("dns:_a._tcp.x:80", "carry the ports"),
        ("dns:x@", "no server after the @"),
        ("dns:x@ns.example.org", "must be an IP address"),
        ("dns:x@127.0.0.1:0", "from 1 to 65535"),
        ("dns:x@127.0.0.1:x", "must be an IP address"),
        ("consul", "names no agent"),
        ("consul:", "names no agent"),
        ("consul:127.0.0.1:8500", "names no agent"),
        ("consul:ftp://a", "names no agent"),
        ("consul:http://a:99999", "names no agent"),
        ("consul:http://[::1", "names no agent"),
        ("consul:http://a/v1", "names no agent"),
        ("consul:http://a b", "names no agent"),
        ("consul:http://a\\b", "names no agent"),
        ("consul:http://\x80", "names no agent"),
        ("consul:http://a?dc=1", "only service=NAME"),
        ("consul:http://a?service=", "only service=NAME"),
        ("consul:http://a?service=a/b", "only service=NAME"),
    ],
)
def test_a_bad_way_is_refused_with_a_form_that_works(text: str, hint: str):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_way(text)
    assert hint in str(caught.value)


def test_a_secret_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(ValueError, match="PEER_CONSUL_TOKEN") as caught:
        parse_way("consul:http://user:hush@agent:8500")
    assert "hush" not in str(caught.value)


def test_where_a_token_may_travel_unseen():
    assert all(ConsulWay(url).private for url in ("http://127.0.0.1:8500", "https://agent:443", "http://[::1]:8500"))
    assert not ConsulWay("http://10.0.0.5:8500").private


def test_service_records_are_asked_for_by_their_underscore():
    assert [DnsWay(name).by_service for name in ("_rendermesh._tcp.x", "x")] == [True, False]


def written(way: Way) -> str:
    """A text that means this way."""
    match way:
        case MdnsWay(interface):
            return "mdns" if interface is None else f"mdns:{interface}"
        case StaticWay():
            return "static"
        case DnsWay(name, port, server):
            shown = "" if server is None else f"@[{server[0]}]:{server[1]}"
            return f"dns:{name}{shown}" if way.by_service else f"dns:{name}:{port}{shown}"
        case ConsulWay(url, service):
            return f"consul:{url}?service={service}"


FORMS = st.sampled_from(
    [b"mdns:eth1", b"dns:peers.test:81@[::1]:8600", b"dns:_a._tcp.test@127.0.0.1", b"consul:http://agent:81?service=farm",
     b"consul:https://[::1]:8501/"]
)  # fmt: skip


@examples(300)
@given(
    FORMS.flatmap(changed).map(lambda data: data.decode("latin-1"))
    | st.tuples(st.sampled_from(["mdns:", "dns:", "dns:x:", "dns:x@", "consul:http://", "consul:"]), texts).map("".join)
)
@example("consul:http://a b")
@example("consul:http://a%b")
@example("dns:x@[fe80::1%eth0]")
def test_any_text_is_a_way_that_can_be_walked_or_refused(text: str):
    try:
        way = parse_way(text)
    except ValueError:
        return
    assert parse_way(written(way)) == way
    if isinstance(way, ConsulWay):
        assert URL(way.url).host
    if isinstance(way, DnsWay) and way.server is not None:
        ipaddress.ip_address(way.server[0])
