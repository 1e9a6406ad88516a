"""What each value must look like, and which values make no sense together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from peer.discovery.ways import ConsulWay, DnsWay, MdnsWay, StaticWay
from peer.settings import Seed, Settings, parse_seed
from protocol import limits
from tests.fuzzing import changed, examples, json_values, texts


def refusal(**values: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(values)
    return "\n".join(fault["msg"] for fault in caught.value.errors())


def test_defaults_are_a_closed_peer_on_loopback():
    settings = Settings()
    assert (settings.bind, settings.port, settings.slots, settings.loopback, settings.http_tls) == (
        "127.0.0.1",
        7700,
        1,
        True,
        False,
    )


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().__setattr__("port", 1)


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        ("oak:7700", Seed("oak", 7700)),
        ("oak", Seed("oak", 7700)),
        (" 10.0.0.1:80 ", Seed("10.0.0.1", 80)),
        ("[fd00::1]:81", Seed("fd00::1", 81)),
        ("[fd00::1]", Seed("fd00::1", 7700)),
    ],
)
def test_a_seed_is_read(text: str, seed: Seed):
    assert parse_seed(text) == seed


def test_a_seed_is_written_so_that_it_can_be_read_again():
    assert [parse_seed(str(seed)) for seed in (Seed("fd00::1", 81), Seed("oak", 2))] == [Seed("fd00::1", 81), Seed("oak", 2)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":7700",
        "oak:",
        "oak:0",
        "oak:65536",
        "oak:x",
        "oak:٣",
        "fd00::1",
        "http://oak:7700",
        "a b",
        "[é]:1",
        "[x%y]:1",
        "[fd00::1]:" + "9" * 5_000,
    ],
)
def test_a_bad_seed_is_refused_with_a_form_that_works(text: str):
    with pytest.raises(ValueError, match=r"HOST:PORT|from 1 to 65535"):
        parse_seed(text)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.5", "fd00::7"])
def test_an_open_address_needs_a_mesh_key(bind: str):
    text = refusal(bind=bind)
    assert "peerctl keygen" in text
    assert "--insecure" in text
    assert Settings(bind=bind, mesh_key=SecretStr("k")).http_tls
    assert not Settings(bind=bind, insecure=True).http_tls


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "[::1]"])
def test_loopback_needs_no_key(bind: str):
    assert Settings(bind=bind).loopback


def test_a_key_and_insecure_contradict_each_other():
    assert "take one of them away" in refusal(insecure=True, mesh_key="k")


def test_tls_has_no_authority_when_insecure():
    assert "certificates come from the mesh key" in refusal(insecure=True, http="tls")


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("bind", "oak.local", "is not an IP address"),
        ("advertise", "0.0.0.0", "name the one"),
        ("port", 65_536, "from 0 to 65535"),
        ("port", "seven", "from 0 to 65535"),
        ("port", True, "from 0 to 65535"),
        ("slots", -1, "whole number"),
        ("slots", 1.5, "whole number"),
        ("replicas", 0, "whole number"),
        ("name", "", "1 to 63"),
        ("name", "a\nb", "1 to 63"),
        ("mesh", "x" * 64, "1 to 63"),
        ("mesh_key", "  ", "peerctl keygen"),
        ("insecure", "maybe", "neither yes nor no"),
        ("join", ["oak:x"], "HOST:PORT"),
        ("join", ["a"] * (limits.SEEDS_MAX + 1), "seeds"),
        ("join", 5, "not a list"),
        ("discovery", "statik", "did you mean 'static'?"),
        ("discovery", "mdns,dns:", "names no host"),
        ("discovery", ["mdns"] * (limits.DISCOVERY_WAYS_MAX + 1), "ways to find peers"),
        ("consul_token", "two words", "spaces"),
        ("consul_token", "", "empty"),
        ("renderer", ["auto"], "this installation has blender, bpy, null, povray"),
        ("renderer", ["bender"], "did you mean 'blender'?"),
        ("label", ["gpu"], "KEY=VALUE"),
        ("label", ["a=b"] * (limits.LABELS_PER_PEER_MAX + 1), "labels"),
        ("data_dir", " ", "path is empty"),
        ("cache_bytes", "many", "is not a size"),
        ("cache_bytes", "1M", "too small"),
        ("drain_grace_s", "-1", "number of seconds"),
        ("drain_grace_s", "nan", "number of seconds"),
        ("check_allow", "10.0.0.0/33", "is not a network"),
        ("check_allow", "everything", "192.168.1.0/24"),
        ("check_allow", ["10.0.0.0/8"] * (limits.CHECK_ALLOW_MAX + 1), "networks"),
        ("log_level", "loud", "'debug'"),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence(field: str, value: object, hint: str):
    assert hint in refusal(**{field: value})


@pytest.mark.parametrize(
    ("text", "size"), [("64M", 64 << 20), ("20GiB", 20 << 30), ("1.5g", 3 << 29), (1 << 30, 1 << 30), ("1TB", 1 << 40)]
)
def test_sizes_are_read(text: str | int, size: int):
    assert Settings.model_validate({"cache_bytes": text}).cache_bytes == size


def test_networks_that_checks_may_probe_are_read():
    settings = Settings.model_validate({"check_allow": "10.1.2.3/8, fd00::/8,192.168.1.7"})
    assert [str(one) for one in settings.check_networks] == ["10.0.0.0/8", "fd00::/8", "192.168.1.7/32"]
    assert Settings().check_networks == ()


def test_every_way_to_find_peers_is_read():
    settings = Settings.model_validate({"discovery": "mdns,static,dns:peers:81,consul:http://127.0.0.1:8500"})
    assert settings.ways == (MdnsWay(), StaticWay(), DnsWay("peers", 81), ConsulWay("http://127.0.0.1:8500"))
    assert Settings().ways == (MdnsWay(), StaticWay())


def test_seeds_that_nobody_would_look_at_are_refused():
    assert "add static" in refusal(discovery="mdns", join=["oak"])
    assert Settings.model_validate({"discovery": "static", "join": ["oak"]}).join == (Seed("oak", 7700),)


def test_the_token_for_consul_is_a_secret():
    assert "hush" not in repr(Settings.model_validate({"consul_token": "hush\n"}))


def test_labels_by_key():
    assert Settings.model_validate({"label": "gpu=rtx=4090,site=lab"}).labels == {"gpu": "rtx=4090", "site": "lab"}


def test_the_key_is_in_no_text_and_no_dump():
    settings = Settings(mesh_key=SecretStr("canary-key"))
    assert "canary" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_the_key_is_in_no_error():
    text = refusal(bind="0.0.0.0", insecure=True, mesh_key="canary-key")
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"insecure": True, "mesh_key": "canary-key"})
    assert "canary" not in text + str(caught.value)


def test_another_admin_key_needs_a_mesh_key() -> None:
    with pytest.raises(ValueError, match="no mesh key"):
        Settings(new_admin_key=True)
    assert Settings(new_admin_key=True, mesh_key="rendermesh-key-1:x").new_admin_key


def test_roots_are_names_with_whole_paths():
    settings = Settings(output_root=("farm=/mnt/farm", "b=/x=y"), shared_root=("shots=/mnt/shots",))
    assert settings.output_roots == {"farm": "/mnt/farm", "b": "/x=y"}
    assert list(settings.shared_roots) == ["shots"]
    for wrong in ("farm", "=/mnt", "farm=mnt", "fa rm=/mnt", "farm="):
        assert "farm=/mnt/farm" in refusal(output_root=(wrong,))
    assert Settings(output_root=("a=s3://bucket/x",)).output_roots == {"a": "s3://bucket/x"}
    assert "scenes are read from folders" in refusal(shared_root=("a=s3://bucket/x",))
    assert "a name of its own" in refusal(output_root=("a=/x", "a=/y"))


def test_a_failpoint_that_does_not_exist_is_refused():
    assert Settings(failpoint="blob commit before:crash").failpoint == "blob commit before:crash"
    assert "output rename before" in refusal(failpoint="somewhere:crash")


SEEDS = st.sampled_from([b"oak.test:7700", b"10.0.0.1", b"[fd00::1]:81", b"[fe80::1%eth0]:82"])


@examples(300)
@given(
    SEEDS.flatmap(changed).map(lambda data: data.decode("latin-1"))
    | st.tuples(st.sampled_from(["", "oak:", "["]), texts).map("".join)
)
def test_any_text_is_a_seed_that_can_be_written_and_read_again_or_refused(text: str):
    try:
        seed = parse_seed(text)
    except ValueError:
        return
    assert parse_seed(str(seed)) == seed
    assert 1 <= seed.port <= 65_535


VALUES = (
    json_values
    | texts
    | st.sampled_from(["~nobody-of-this-name/x", "1k", "9" * 400 + "M", "a=/x", "a=~nobody-of-this-name", "oak:1", "::"])
)


@examples(200)
@given(st.dictionaries(st.sampled_from(sorted(set(Settings.model_fields) - {"origins", "warnings"})), VALUES, max_size=4))
def test_any_values_are_settings_or_faults_that_name_a_field(values: dict[str, object]):
    try:
        settings = Settings(**values)
    except ValidationError as error:
        assert all(fault["msg"] for fault in error.errors())  # noqa: PT017 - both are right
        return
    for name in ("ways", "output_roots", "shared_roots", "labels", "check_networks", "loopback"):
        getattr(settings, name)  # what is derived from them later


@pytest.mark.parametrize("text", ["-0.1", "1.1", "half", "", True, "nan", "1e999"])
def test_a_share_that_makes_no_sense(text: object):
    with pytest.raises(ValidationError, match="not a share from 0 to 1"):
        Settings(audit_share=text)


def test_a_share_is_read_from_text_too():
    assert Settings().audit_share == 0.02
    assert Settings(audit_share="0").audit_share == 0.0
