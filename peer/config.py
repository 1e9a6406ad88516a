"""Where the settings of `peerd` come from: read once, each with its origin.

Decides which source wins: flags, then the environment, then the TOML file, then defaults. Refuses to know what a value
means (`peer.settings`). With `peer/cli/settings.py` this is the only reader of the environment.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NoReturn

import platformdirs
from pydantic import SecretStr, ValidationError

from peer.paths import expanded
from peer.settings import Seed, Settings, nearest
from protocol import limits

__all__ = [
    "ConfigError",
    "Seed",
    "Settings",
    "Shown",
    "default_config_path",
    "describe",
    "inherited_environment",
    "load",
    "parse_peerd",
]

PREFIX: Final = "PEER_"
FAILPOINT: Final = "PEER_FAILPOINT"  # for tests: where this process shall die (see `peer.failpoints`)


class ConfigError(Exception):
    """A setting that cannot be used; the text says which, where it came from, and what to write instead."""


@dataclass(frozen=True, slots=True)
class _Option:
    """How one setting is written outside. `repeat` flags collect; `secret` values have no flag of their own."""

    field: str
    metavar: str
    help: str
    repeat: bool = False
    switch: bool = False
    secret: bool = False
    env: str = ""

    @property
    def variable(self) -> str:
        return self.env or PREFIX + self.field.upper()

    @property
    def flag(self) -> str:
        return "--" + self.field.replace("_", "-")


_OPTIONS: Final = (
    _Option("name", "NAME", "label of this peer (default: the host name)"),
    _Option("bind", "ADDRESS", "address to listen on (default 127.0.0.1; any that others reach needs a mesh key)"),
    _Option("port", "PORT", "user port, and gossip on the same number over UDP (default 7700; 0: any)"),
    _Option("advertise", "ADDRESS", "address that the other peers shall use (default: derived)"),
    _Option("mesh_port", "PORT", "port for streams between peers (default: one above the user port if free, else any)"),
    _Option("data_dir", "FOLDER", "everything that a peer keeps (default: the platform's data folder)"),
    _Option("mesh", "NAME", "name of the mesh; peers of different names never join (default 'default')"),
    _Option("mesh_key", "FILE", "file with the mesh key; see `peerctl keygen`", secret=True),
    _Option("insecure", "", "open a peer to other machines without a mesh key; for a closed lab only", switch=True),
    _Option("join", "HOST:PORT", "a peer to join (repeat)", repeat=True),
    _Option("discovery", "LIST", "ways to find peers: mdns, static, dns:NAME, consul:URL (default mdns,static)"),
    _Option("consul_token", "FILE", "file with the token for consul:URL", secret=True),
    _Option("slots", "N", "batches rendered at once (default 1; 0: serve and store only)"),
    _Option("renderer", "NAME", "blender, bpy, povray, null, or a plug-in's word (repeat; default: what is found)", repeat=True),
    _Option("blender", "PLACE", "a Blender program, or a folder of some (repeat; default: found on PATH)", repeat=True),
    _Option("sandbox", "LEVEL", "how scenes are confined: bwrap, landlock, none or auto (default: the strongest that works)"),
    _Option("renderer_memory", "SIZE", "memory that each renderer process may take (default: no limit of its own)"),
    _Option("renderer_cpus", "N", "processors that each renderer process may use (default: all)"),
    _Option("label", "KEY=VALUE", "a label of this peer (repeat)", repeat=True),
    _Option("preset", "lan|wan|local", "timing of failure detection (default lan)"),
    _Option("replicas", "N", "peers that keep each job's state (default 3)"),
    _Option("audit_share", "SHARE", "share of the frames that another peer renders once more, to compare (default 0.02)"),
    _Option("scene", "FILE", "default scene for the simple endpoints", env="BLEND_FILE_PATH"),
    _Option("http", "tls|plain", "what the user port speaks (default: tls with a mesh key, else plain)"),
    _Option("new_admin_key", "", "make another admin key at this start, where the old ones are lost", switch=True),
    _Option("anonymous_role", "ROLE", "what callers without a token may do: none, viewer, submitter, operator, admin"),
    _Option("log_format", "json|console", "default: console on a terminal, else json"),
    _Option("log_level", "LEVEL", "debug, info, warning or error (default info)"),
    _Option("cache_bytes", "SIZE", "room for scenes and frames that may be dropped again (default 10GiB)"),
    _Option("check_allow", "CIDR", "network that health checks may probe besides this peer (repeat)", repeat=True),
    _Option(
        "output_root",
        "NAME=PLACE",
        "folder, or s3://, az:// or gs:// store, that frames may be delivered to, as NAME:folder (repeat)",
        repeat=True,
    ),
    _Option("shared_root", "NAME=PATH", "folder that scenes may be read from without an upload (repeat)", repeat=True),
    _Option("drain_grace_s", "SECONDS", "time for the current frame after SIGTERM (default 30)"),
)
_EXAMPLE: Final = """\
example:
  peerd --name oak --data-dir ~/oak
  peerd --bind 0.0.0.0 --mesh-key-file mesh.key --join 192.168.1.20:7700 --slots 2

Every flag has a variable (--data-dir is PEER_DATA_DIR; --scene is BLEND_FILE_PATH) and a key in the TOML file (data_dir).
Flags win over variables, variables over the file. Secrets: PEER_MESH_KEY, or PEER_MESH_KEY_FILE naming a file.
SIGTERM drains: no new work, the current frame is finished if it fits the grace, then the peer leaves."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see peerd --help")


def _parser() -> _Parser:
    parser = _Parser(
        prog="peerd",
        description="Run one peer of a render mesh in the foreground.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--version", action="version", version=f"peerd {version('rendermesh')}")
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file (PEER_CONFIG; default: peer.toml in the configuration folder)"
    )
    parser.add_argument("--check-config", action="store_true", help="check the settings, say so and end")
    for option in _OPTIONS:
        if option.switch:
            parser.add_argument(option.flag, dest=option.field, action="store_true", help=option.help)
        elif option.repeat:
            parser.add_argument(option.flag, dest=option.field, action="append", metavar=option.metavar, help=option.help)
        else:
            flag = option.flag + ("-file" if option.secret else "")
            parser.add_argument(flag, dest=option.field, metavar=option.metavar, help=option.help)
    return parser


def _read_flags(argv: Sequence[str]) -> dict[str, Any]:
    parser = _parser()
    known, unknown = parser.parse_known_args(list(argv))
    if unknown:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        word = unknown[0].partition("=")[0]
        raise ConfigError(f"unknown argument {word!r}{nearest(word, flags)}; see peerd --help")
    return vars(known)


def default_config_path() -> Path:
    """`peer.toml` in the platform's configuration folder."""
    return platformdirs.user_config_path("rendermesh") / "peer.toml"


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        data = _read_bounded(path, limits.CONFIG_FILE_BYTES_MAX)
        values = tomllib.loads(data)
    except FileNotFoundError:
        if required:
            raise ConfigError(f"there is no configuration file {path}; name another with --config, or leave it out") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error}") from None
    except (ValueError, RecursionError) as error:  # tomllib's own error is one; so is that of a number of 5,000 digits
        raise ConfigError(f"{path} is not TOML: {str(error)[:200]}") from None
    known = [
        name for option in _OPTIONS for name in ([option.field, option.field + "_file"] if option.secret else [option.field])
    ]
    for key in values:
        if key not in known:
            raise ConfigError(f"{path}: unknown key {key!r}{nearest(key, known) or '; known are ' + ', '.join(known)}")
    return values


def _config_path(text: str) -> Path:
    try:
        return expanded(text)
    except ValueError as error:
        raise ConfigError(f"the configuration file: {error}") from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for any file, say
        return False


def _read_bounded(path: Path, size_max: int) -> str:
    with path.open("rb") as file:
        data = file.read(size_max + 1)
    if len(data) > size_max:
        raise OSError(f"more than {size_max:,} bytes")
    return data.decode("utf-8")


def _read_secret(path: str, source: str) -> str:
    try:
        text = _read_bounded(expanded(path), limits.SECRET_FILE_BYTES_MAX)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a text of reasonable size"
        raise ConfigError(f"{source}: cannot read {path}: {reason}") from None
    if not text.strip():
        remedy = f"; make a key with `peerctl keygen > {path}`" if "mesh" in source else ""
        raise ConfigError(f"{source}: the file {path} is empty{remedy}")
    return text.strip()


def _find(
    option: _Option, flags: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any], where: str
) -> tuple[Any, str] | None:
    """The winning value of one option and its origin, or None when no source has it."""
    if option.secret:
        return _find_secret(option, flags, environ, file, where)
    if option.field in flags:
        return flags[option.field], f"flag {option.flag}"
    if option.variable in environ:
        return _explain_port(option, environ[option.variable]), f"environment {option.variable}"
    if option.field in file:
        return file[option.field], f"file {where}"
    return None


def _explain_port(option: _Option, text: str) -> str:
    if option.field == "port" and text.startswith("tcp://"):
        raise ConfigError(
            f"environment PEER_PORT is {text!r}: Kubernetes set it for a service named 'peer'; "
            "set enableServiceLinks: false in the pod"
        )
    return text


def _find_secret(
    option: _Option, flags: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any], where: str
) -> tuple[str, str] | None:
    variable = option.variable
    if option.field in flags:
        source = f"flag {option.flag}-file"
        return _read_secret(flags[option.field], source), source
    if variable in environ and f"{variable}_FILE" in environ:
        raise ConfigError(f"{variable} and {variable}_FILE are both set: take one of them away")
    if variable in environ:
        return environ[variable], f"environment {variable}"
    if f"{variable}_FILE" in environ:
        source = f"environment {variable}_FILE"
        return _read_secret(environ[f"{variable}_FILE"], source), source
    if option.field in file and f"{option.field}_file" in file:
        raise ConfigError(f"{where}: {option.field} and {option.field}_file are both set: take one of them away")
    if option.field in file:
        return str(file[option.field]), f"file {where}"
    if f"{option.field}_file" in file:
        source = f"file {where}"
        return _read_secret(str(file[f"{option.field}_file"]), f"{source}, {option.field}_file"), source
    return None


def _unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    known = {PREFIX + "CONFIG", FAILPOINT} | {option.variable for option in _OPTIONS}
    known |= {option.variable + "_FILE" for option in _OPTIONS if option.secret}
    strangers = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    return tuple(f"the variable {name} is no setting of peerd{nearest(name, known)}" for name in strangers)


def load(argv: Sequence[str], environ: Mapping[str, str], *, terminal: bool = False) -> Settings:
    """Read every source and check the result. `terminal`: whether logs go to one (decides the default format).

    Raises `ConfigError` with one sentence per fault. `--help`, `--version` and `--check-config` print and raise
    `SystemExit(0)`.
    """
    flags = _read_flags(argv)
    given = flags.get("config") or environ.get(PREFIX + "CONFIG")
    path = _config_path(given) if given else default_config_path()
    file = _read_file(path, required=bool(given))
    values: dict[str, Any] = {"log_format": "console" if terminal else "json"}
    origins = {option.field: "default" for option in _OPTIONS}
    for option in _OPTIONS:
        if (found := _find(option, flags, environ, file, str(path))) is not None:
            values[option.field], origins[option.field] = found
    try:
        failpoint = environ.get(FAILPOINT, "")
        settings = Settings(**values, failpoint=failpoint, origins=origins, warnings=_unknown_variables(environ))
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(dict(fault), origins) for fault in error.errors())) from None
    if settings.scene is not None and not _is_file(settings.scene):
        raise ConfigError(f"scene ({origins['scene']}): there is no file {settings.scene}")
    if "check_config" in flags:
        print("the settings are valid")
        raise SystemExit(0)
    return settings


def _sentence(fault: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    text = str(fault["msg"]).removeprefix("Value error, ")
    field = str(fault["loc"][0]) if fault["loc"] else ""
    return f"{field} ({origins[field]}): {text}" if field in origins else text


def parse_peerd(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings for `peerd` (default: this process's arguments and environment).

    On a usage error the sentences go to stderr and the exit code is 2.
    """
    try:
        return load(
            sys.argv[1:] if argv is None else argv, os.environ if environ is None else environ, terminal=sys.stderr.isatty()
        )
    except ConfigError as error:
        for line in str(error).splitlines():
            print(f"peerd: {line}", file=sys.stderr)
        raise SystemExit(2) from None


def inherited_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What programs that the daemon starts may see of its environment: all but its own settings, secrets among them."""
    source = os.environ if environ is None else environ
    return {name: value for name, value in source.items() if not name.startswith(PREFIX)}


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting as people may see it: a secret is 'set' or 'not set', an absent value the empty text."""

    name: str
    value: str
    origin: str


def describe(settings: Settings) -> list[Shown]:
    """Every setting with its origin, in the order of `peerd --help`; safe to print."""
    return [
        Shown(option.field, _text(getattr(settings, option.field)), settings.origins.get(option.field, "default"))
        for option in _OPTIONS
    ]


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return "set"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ",".join(str(item) for item in value)
        case _:
            return str(value)
