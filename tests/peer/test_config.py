"""Which source wins, what is said about a wrong one, and that secrets stay inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer import config
from peer.config import ConfigError, Settings, describe, inherited_environment, load, parse_peerd
from peer.settings import Seed
from tests.fuzzing import changed, deep_json, examples, json_values, texts


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "peer.toml"


@pytest.fixture(autouse=True)
def no_file_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_flags_win_over_variables_over_the_file_over_defaults(toml: Path):
    toml.write_text('port = 1\nslots = 2\nname = "file"\nreplicas = 5\n')
    settings = load(["--config", str(toml), "--port", "3"], {"PEER_PORT": "2", "PEER_SLOTS": "4"})
    assert (settings.port, settings.slots, settings.name, settings.replicas, settings.preset) == (3, 4, "file", 5, "lan")
    assert [settings.origins[name] for name in ("port", "slots", "name", "preset")] == [
        "flag --port",
        "environment PEER_SLOTS",
        f"file {toml}",
        "default",
    ]


def test_every_setting_has_an_origin():
    assert set(load([], {}).origins) == set(Settings.model_fields) - {"origins", "warnings", "failpoint"}


def test_the_file_of_the_platform_is_read_when_none_is_named(tmp_path: Path):
    path = config.default_config_path()
    path.parent.mkdir(parents=True)
    path.write_text("port = 9\n")
    assert path.is_relative_to(tmp_path)
    assert load([], {}).port == 9


def test_the_file_can_be_named_by_a_variable(toml: Path):
    toml.write_text("port = 9\n")
    assert load([], {"PEER_CONFIG": str(toml)}).port == 9


def test_lists_come_from_repeated_flags_commas_and_arrays(toml: Path):
    toml.write_text('join = ["a:1", "b:2"]\nlabel = "x=1,y=2"\n')
    seeds = (Seed("a", 1), Seed("b", 2))
    assert load(["--join", "a:1", "--join", "b:2"], {}).join == seeds
    assert load([], {"PEER_JOIN": "a:1, b:2"}).join == seeds
    from_file = load(["--config", str(toml)], {})
    assert (from_file.join, from_file.labels) == (seeds, {"x": "1", "y": "2"})


def test_the_scene_variable_is_the_one_that_existing_clients_set(tmp_path: Path):
    scene = tmp_path / "a.blend"
    scene.write_bytes(b"BLENDER")
    assert load([], {"BLEND_FILE_PATH": str(scene)}).scene == scene
    assert load(["--scene", str(scene)], {"BLEND_FILE_PATH": "other"}).scene == scene


def test_a_missing_scene_is_said_at_the_start(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"scene \(environment BLEND_FILE_PATH\): there is no file"):
        load([], {"BLEND_FILE_PATH": str(tmp_path / "none.blend")})


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("prot = 1", "unknown key 'prot', did you mean 'port'?"),
        ("xyzzy = 1", "known are name, bind"),
        ("[mesh]\nname = 'a'", "mesh"),
        ("port = ", "is not TOML"),
        ("port = 99999", r"port \(file .*\): 99999 is not a whole number"),
        ("mesh_key = 'a'\nmesh_key_file = 'b'", "both set"),
    ],
)
def test_a_wrong_file_is_refused(toml: Path, text: str, hint: str):
    toml.write_text(text)
    with pytest.raises(ConfigError, match=hint):
        load(["--config", str(toml)], {})


def test_a_named_file_must_be_there(toml: Path):
    with pytest.raises(ConfigError, match="there is no configuration file"):
        load(["--config", str(toml)], {})


def test_an_unreadable_file_is_refused(toml: Path):
    toml.mkdir()
    with pytest.raises(ConfigError, match="cannot read the configuration file"):
        load(["--config", str(toml)], {})


def test_a_huge_file_is_refused(toml: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("protocol.limits.CONFIG_FILE_BYTES_MAX", 10)
    toml.write_text("port = 7700 # more than ten bytes")
    with pytest.raises(ConfigError, match="more than 10 bytes"):
        load(["--config", str(toml)], {})


def test_unknown_variables_warn_and_name_the_nearest():
    settings = load([], {"PEER_PROT": "1", "PEERCTL_HOST": "x", "PEER_MESH_KEY_FILE_": "1", "HOME": "/"})
    assert settings.warnings == (
        "the variable PEER_MESH_KEY_FILE_ is no setting of peerd, did you mean 'PEER_MESH_KEY_FILE'?",
        "the variable PEER_PROT is no setting of peerd, did you mean 'PEER_PORT'?",
    )


def test_a_port_set_by_kubernetes_is_explained():
    with pytest.raises(ConfigError, match="enableServiceLinks: false"):
        load([], {"PEER_PORT": "tcp://10.0.0.1:7700"})


def secret(settings: Settings) -> str:
    assert settings.mesh_key is not None
    return settings.mesh_key.get_secret_value()


def test_the_mesh_key_comes_from_flag_file_variable_or_file_of_a_variable(tmp_path: Path, toml: Path):
    path = tmp_path / "mesh.key"
    path.write_text("from-file\n")
    toml.write_text(f'mesh_key_file = "{path}"\n')
    assert secret(load(["--mesh-key-file", str(path)], {"PEER_MESH_KEY": "no"})) == "from-file"
    assert secret(load([], {"PEER_MESH_KEY": " direct "})) == "direct"
    assert secret(load([], {"PEER_MESH_KEY_FILE": str(path)})) == "from-file"
    assert secret(load(["--config", str(toml)], {})) == "from-file"
    toml.write_text('mesh_key = "inline"\n')
    assert secret(load(["--config", str(toml)], {})) == "inline"


def test_there_is_no_flag_for_a_secret():
    with pytest.raises(ConfigError, match="unknown argument '--mesh-key'"):
        load(["--mesh-key", "k"], {})


def test_two_keys_are_refused():
    with pytest.raises(ConfigError, match="both set"):
        load([], {"PEER_MESH_KEY": "a", "PEER_MESH_KEY_FILE": "b"})


@pytest.mark.parametrize(
    ("content", "hint"),
    [(None, "No such file"), (b"\n", "is empty"), (b"\xff\xfe", "reasonable size"), (b"x" * 70_000, "reasonable size")],
)
def test_a_wrong_key_file_is_refused(tmp_path: Path, content: bytes | None, hint: str):
    path = tmp_path / "mesh.key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"PEER_MESH_KEY_FILE: .*{hint}"):
        load([], {"PEER_MESH_KEY_FILE": str(path)})


def test_no_error_and_no_listing_shows_the_key(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse_peerd(["--bind", "oak", "--insecure", "--slots", "x"], {"PEER_MESH_KEY": "canary-key"})
    listing = describe(load([], {"PEER_MESH_KEY": "canary-key"}))
    assert "canary" not in capsys.readouterr().err + str(listing)
    assert ("mesh_key", "set", "environment PEER_MESH_KEY") in [(row.name, row.value, row.origin) for row in listing]


def test_the_listing_shows_values_as_they_are_written():
    rows = {row.name: row.value for row in describe(load(["--join", "a:1", "--join", "b", "--insecure"], {}))}
    assert (rows["join"], rows["insecure"], rows["advertise"], rows["mesh_key"]) == ("a:1,b:7700", "yes", "", "")


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["--prot", "1"], "unknown argument '--prot', did you mean '--port'?"),
        (["--port"], "expected one argument"),
        (["--por", "1"], "unknown argument '--por'"),
        (["surplus"], "unknown argument 'surplus'"),
        (["--bind", "0.0.0.0"], "peerctl keygen"),
        (["--discovery", "mdns,consul:x"], "names no agent"),
    ],
)
def test_a_usage_error_ends_with_2_and_a_sentence(argv: list[str], hint: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        parse_peerd(argv, {})
    assert caught.value.code == 2
    assert hint in capsys.readouterr().err


def test_each_fault_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse_peerd(["--slots", "x", "--port", "y"], {})
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" (")[0] for line in lines] == ["peerd: port", "peerd: slots"]


@pytest.mark.parametrize(("argv", "hint"), [(["--help"], "example:"), (["--version"], "peerd 0.1")])
def test_help_and_version_end_with_0(argv: list[str], hint: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        parse_peerd(argv, {})
    assert caught.value.code == 0
    assert hint in capsys.readouterr().out


def test_settings_can_be_checked_without_a_start(toml: Path, capsys: pytest.CaptureFixture[str]):
    toml.write_text("port = 7701\n")
    with pytest.raises(SystemExit) as caught:
        parse_peerd(["--check-config", "--config", str(toml)], {})
    assert (caught.value.code, capsys.readouterr().out) == (0, "the settings are valid\n")
    toml.write_text("prot = 7701\n")
    with pytest.raises(SystemExit) as caught:
        parse_peerd(["--check-config", "--config", str(toml)], {})
    assert caught.value.code == 2


def test_the_arguments_and_the_environment_of_the_process_are_the_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["peerd", "--slots", "3"])
    monkeypatch.setenv("PEER_PORT", "7777")
    settings = parse_peerd()
    assert (settings.slots, settings.port) == (3, 7777)


def test_programs_that_the_daemon_starts_see_none_of_its_settings(monkeypatch: pytest.MonkeyPatch):
    assert inherited_environment({"PATH": "/bin", "PEER_MESH_KEY": "canary", "PEERAGE": "x"}) == {"PATH": "/bin", "PEERAGE": "x"}
    monkeypatch.setenv("PEER_MESH_KEY", "canary")
    assert "canary" not in str(inherited_environment())


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse_peerd(["--help"], {})
    text = capsys.readouterr().out
    assert [field for field in load([], {}).origins if "--" + field.replace("_", "-") not in text] == []


def test_logs_are_for_people_on_a_terminal_and_for_programs_elsewhere():
    assert (load([], {}, terminal=True).log_format, load([], {}).log_format) == ("console", "json")
    assert load([], {"PEER_LOG_FORMAT": "json"}, terminal=True).log_format == "json"


def test_a_failpoint_comes_from_its_variable_alone_and_is_no_stranger():
    settings = load([], {"PEER_FAILPOINT": "blob commit after:crash#3"})
    assert (settings.failpoint, settings.warnings) == ("blob commit after:crash#3", ())
    with pytest.raises(ConfigError, match="blob commit after"):
        load([], {"PEER_FAILPOINT": "nowhere:crash"})


def test_roots_are_collected_from_repeated_flags():
    settings = load(["--output-root", "a=/x", "--output-root", "b=/y"], {"PEER_SHARED_ROOT": "s=/z"})
    assert (list(settings.output_roots), list(settings.shared_roots)) == (["a", "b"], ["s"])


FIELDS = [*sorted(set(Settings.model_fields) - {"origins", "warnings", "failpoint"}), "mesh_key_file", "x"]
TOML = (
    st.dictionaries(st.sampled_from(FIELDS), json_values.map(json.dumps), max_size=3).map(
        lambda rows: "".join(f"{key} = {text}\n" for key, text in rows.items()).encode("utf-8", "replace")
    )
    | changed(b'port = 7700\nlabel = ["a=b", "c=d"]\njoin = ["oak:7700"]\ncache_bytes = "20G"\n[x]\ny = 1979-05-27T07:32:00Z\n')
    | deep_json.map(lambda text: b"label = %s" % text.encode())
)
WORDS = texts.filter(lambda text: "\0" not in text) | st.sampled_from(["~nobody-of-this-name/x", "/", "1", "a=b", "9" * 400])


@examples(200)
@given(
    TOML,
    st.lists(st.tuples(st.sampled_from(FIELDS), WORDS), max_size=2),
    st.dictionaries(st.sampled_from(["PEER_" + field.upper() for field in FIELDS]), WORDS, max_size=2),
)
def test_any_file_flags_and_variables_are_settings_or_sentences(
    toml: Path, file: bytes, flags: list[tuple[str, str]], environ: dict[str, Any]
):
    toml.write_bytes(file)
    argv = [f"--{name.replace('_', '-')}={value}" for name, value in flags]
    try:
        describe(load(["--config", str(toml), *argv], environ))
    except ConfigError as error:
        assert str(error)  # noqa: PT017 - both are right
