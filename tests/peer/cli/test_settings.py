import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peer.cli.failures import CliError, Exit
from peer.cli.settings import Host, child_environment, load, parse_url, pin_of
from tests.fuzzing import changed, deep_json, examples, refused, spoilt, texts


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "peer-data"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost", "http://localhost:7700"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:7700"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("render1", "https://render1:7700"),
        ("10.0.0.5:7711", "https://10.0.0.5:7711"),
        ("http://10.0.0.5", "http://10.0.0.5:7700"),
        ("https://Render1:443/", "https://render1:443"),
    ],
)
def test_a_host_in_every_form(text: str, url: str) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "ftp://x",
        "a b",
        "host:port",
        "host:99999",
        "http://h/path",
        "http://u:p@h",
        "h?x",
        "[::1",
        "h" * 254,
        "a\nb",
        "a\x85",
        "a\udcff",
    ],
)
def test_what_is_no_host_is_refused_with_a_form_that_works(text: str) -> None:
    with pytest.raises(CliError, match="cannot read the host") as caught:
        parse_url(text)
    assert caught.value.exit_code is Exit.USAGE
    assert "-H 10.0.0.5:7700" in caught.value.remedy


def test_without_anything_the_default_peer_of_this_machine() -> None:
    found = load(environ={})
    assert found.hosts == (Host("http://127.0.0.1:7700"),)
    assert not found.named


def test_flags_win_over_the_environment() -> None:
    env = {"PEERCTL_HOST": "127.0.0.1:1, 127.0.0.1:2,"}
    assert [host.url for host in load(environ=env).hosts] == ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    assert [host.url for host in load(hosts=["127.0.0.1:3"], environ=env).hosts] == ["http://127.0.0.1:3"]


def test_the_local_peer_says_where_it_is_and_what_proves_us(data_dir: Path) -> None:
    (data_dir / "ca.pem").write_text("x")
    (data_dir / "admin.key").write_text("mk_1_s\n")
    document = {"url": "https://127.0.0.1:7711", "ca": str(data_dir / "ca.pem"), "key": "admin.key"}
    (data_dir / "client.json").write_text(json.dumps(document))
    env = {"PEER_DATA_DIR": str(data_dir)}
    local = Host("https://127.0.0.1:7711", ca=str(data_dir / "ca.pem"), mesh_ca=True, token="mk_1_s")
    assert load(environ=env).hosts == (local,)
    (other,) = load(hosts=["render9"], environ=env).hosts
    assert (other.ca, other.mesh_ca, other.token) == (local.ca, True, None), "our admin key is for our own peer"
    (told,) = load(environ={**env, "PEERCTL_TOKEN": "mine"}).hosts
    assert told.token == "mine"


HOSTS = st.sampled_from([b"localhost", b"127.0.0.1:8000", b"[::1]:8000", b"https://render1:7700/", b"[fe80::1%eth0]:1"])


@examples(300)
@given(
    HOSTS.flatmap(changed).map(lambda data: data.decode("latin-1"))
    | st.tuples(st.sampled_from(["", "http://", "["]), texts).map("".join)
)
def test_any_text_is_a_host_in_one_form_or_refused(text: str) -> None:
    error = refused(parse_url, text, by=CliError)
    if error is None:
        url = parse_url(text)
        assert parse_url(url) == url
        assert urlsplit(url).port is not None
        assert pin_of(Path("/config"), url).parent == Path("/config/trust")
    else:
        assert error.exit_code is Exit.USAGE


LEFT = {"url": "https://127.0.0.1:7711", "ca": "/nowhere/ca.pem", "key": "admin.key"}
DOCUMENTS = (
    (spoilt(LEFT) | spoilt({**LEFT, "key": None, "token": "mk_1_s"})).map(json.dumps).map(str.encode)
    | changed(json.dumps(LEFT).encode())
    | deep_json.map(str.encode)
    | st.binary(max_size=40)
)


@examples(200)
@given(DOCUMENTS, st.binary(max_size=30) | st.just(b"mk_1_s\n"))
@example(b"[" * 100_000, b"")
@example(json.dumps({**LEFT, "key": "x" * 5_000}).encode(), b"")
@example(json.dumps({**LEFT, "key": "a\0b"}).encode(), b"")
@example(json.dumps({**LEFT, "key": None, "token": "mk_1\nX-Role: admin"}).encode(), b"")
def test_whatever_stands_in_the_client_file_names_the_local_peer_or_is_said(data_dir: Path, document: bytes, key: bytes) -> None:
    (data_dir / "client.json").write_bytes(document)
    (data_dir / "admin.key").write_bytes(key)
    try:
        (host,) = load(environ={"PEER_DATA_DIR": str(data_dir)}).hosts
    except CliError as error:
        assert "client.json" in f"{error} {error.why}"  # noqa: PT017 - both are right
        return
    assert parse_url(host.url) == host.url
    assert host.token is None or all("!" <= char <= "~" for char in host.token)


def test_a_client_file_without_end_is_not_read_to_its_end(data_dir: Path) -> None:
    (data_dir / "client.json").symlink_to("/dev/zero")
    with pytest.raises(CliError, match=r"client\.json"):
        load(environ={"PEER_DATA_DIR": str(data_dir)})


@given(
    st.dictionaries(
        st.sampled_from(["PEERCTL_HOST", "PEERCTL_TOKEN", "PEERCTL_TOKEN_FILE", "PEERCTL_CACERT", "PEERCTL_DISCOVERY"]),
        texts.filter(lambda text: "\0" not in text),
        max_size=2,
    )
)
def test_any_environment_is_settings_or_refused(environ: dict[str, Any]) -> None:
    error = refused(lambda: load(environ=environ), by=CliError)
    assert error is None or error.exit_code is Exit.USAGE


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"url": 3}', '{"url": "a b"}'])
def test_a_broken_client_file_is_named(data_dir: Path, text: str) -> None:
    (data_dir / "client.json").write_text(text)
    with pytest.raises(CliError, match=r"client\.json"):
        load(environ={"PEER_DATA_DIR": str(data_dir)})


def test_a_token_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("mk_1_s\n")
    assert load(environ={"PEERCTL_TOKEN_FILE": str(tmp_path / "token")}).hosts[0].token == "mk_1_s"


@pytest.mark.parametrize("content", [None, "", "two words"])
def test_a_token_file_that_holds_no_token(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(CliError, match="token file"):
        load(environ={"PEERCTL_TOKEN_FILE": str(tmp_path / "token")})


def test_two_tokens_are_one_too_many() -> None:
    with pytest.raises(CliError, match="both set"):
        load(environ={"PEERCTL_TOKEN": "a", "PEERCTL_TOKEN_FILE": "b"})


def test_an_authority_that_is_not_there() -> None:
    with pytest.raises(CliError, match="authority"):
        load(cacert="/nowhere.pem", environ={})


def test_a_token_may_go_to_this_machine_and_over_tls_only() -> None:
    private = ("http://127.0.0.1:1", "http://[::1]:1", "https://far:1")
    assert all(Host(url).is_private for url in private)
    assert not any(Host(url).is_private for url in ("http://far:1", "http://127.0.0.1.far:1"))


def test_programs_that_we_start_do_not_get_our_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERCTL_TOKEN", "secret")
    monkeypatch.setenv("OTHER", "kept")
    environment = child_environment()
    assert "PEERCTL_TOKEN" not in environment
    assert environment["OTHER"] == "kept"


def test_a_pinned_host_is_verified_by_its_pin(data_dir: Path, account: Path) -> None:
    config = load(environ={}).config_dir
    pin = pin_of(config, "https://render9:7700")
    pin.parent.mkdir(parents=True)
    pin.write_text("x")
    env = {"PEER_DATA_DIR": str(data_dir), "PEERCTL_TOKEN": "mine"}
    (host,) = load(hosts=["render9"], environ=env).hosts
    assert host == Host("https://render9:7700", ca=str(pin), mesh_ca=True, token="mine")
    assert load(hosts=["render8"], environ=env).hosts[0].ca is None
    assert load(hosts=["http://render9"], environ=env).hosts[0].ca is None
    (data_dir / "given.pem").write_text("x")
    (told,) = load(hosts=["render9"], cacert=str(data_dir / "given.pem"), environ=env).hosts
    assert (told.ca, told.mesh_ca) == (str(data_dir / "given.pem"), False)
