"""What a peer can be told, and what each value must look like: one frozen model, checked as a whole.

Decides which values make sense together. Refuses to know where a value came from (`peer.config` reads flags, the
environment and files) and what it is used for (the composition root hands small option objects on).
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, Self

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from peer.discovery.ways import FORMS, KINDS, Way, parse_way
from peer.failpoints import parse as parse_failpoint
from peer.outputs.places import check_place
from peer.paths import expanded
from peer.render.plugins import installed_words
from protocol import limits
from protocol.jobs.destination import ROOT_NAME, advertised

PORT: Final = 7700
DISCOVERY_DEFAULT: Final = ("mdns", "static")
TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off", ""})
_SIZE: Final = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([kmgt]?)(?:i?b)?\Z", re.IGNORECASE | re.ASCII)
_SEED: Final = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?\Z", re.ASCII)
_POWER: Final = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


class Seed(NamedTuple):
    """Where a peer may be found: `host` is an address or a name, `port` its user port (gossip has the same number)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _int(low: int, high: int) -> BeforeValidator:
    def check(value: object) -> int:
        try:
            number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else None
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            raise ValueError(f"{value!r} is not a whole number from {low} to {high}")
        return number

    return BeforeValidator(check)


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        seconds = None
    if seconds is None or not 0 <= seconds <= limits.DRAIN_GRACE_S_MAX:
        raise ValueError(f"{value!r} is not a number of seconds from 0 to {limits.DRAIN_GRACE_S_MAX:.0f}")
    return seconds


def _share(value: object) -> float:
    try:
        share = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        share = None
    if share is None or not 0 <= share <= 1:
        raise ValueError(f"{str(value)[:80]!r} is not a share from 0 to 1; write for example 0.02")
    return share


def _bytes(value: object) -> int:
    match = _SIZE.match(str(value).strip()) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if match is None:
        raise ValueError(f"{value!r} is not a size; write bytes, or for example 500M or 20GiB")
    size = int(float(match[1]) * (1 << _POWER[match[2].lower()]))
    if size < limits.CACHE_BYTES_MIN:
        raise ValueError(f"{value!r} is too small; at least {limits.CACHE_BYTES_MIN // 2**20}M are needed")
    return size


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in TRUE | FALSE:
        raise ValueError(f"{value!r} is neither yes nor no; write 1 or 0")
    return text in TRUE


def _list(value: object) -> tuple[object, ...]:
    """A list from a file, from repeated flags, or from one text with commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, Iterable):
        return tuple(value)
    raise ValueError(f"{value!r} is not a list")


def _path(value: object) -> object:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("the path is empty")
        return expanded(value).absolute()
    return value


def _paths(value: object) -> tuple[object, ...]:
    return tuple(_path(one) for one in _list([value] if isinstance(value, Path) else value))


def _address(value: object) -> str:
    text = str(value).strip().strip("[]")
    if text == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{value!r} is not an IP address; write for example 127.0.0.1, 0.0.0.0 or ::") from None


def _is_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def parse_seed(text: str) -> Seed:
    """Read `HOST:PORT`, `HOST` (port 7700) or `[IPv6]:PORT`. Raises `ValueError` with a form that works."""
    match = _SEED.match(text.strip())
    if match is None or (match["six"] and not _is_address(match["six"])):
        raise ValueError(f"{text[:80]!r} is not HOST:PORT; write for example 192.168.1.20:7700 or [fd00::20]:7700")
    port = int(match["port"] or PORT)
    if not 1 <= port <= 65_535:
        raise ValueError(f"{text[:80]!r}: the port must be from 1 to 65535")
    return Seed(match["six"] or match["host"], port)


Choice = Annotated[tuple[str, ...], BeforeValidator(_list)]


class Settings(BaseModel):
    """What one peer was told. Invariants: frozen; every value checked; a secret never appears in its text or dump.

    `origins` names the source of every field; `warnings` are sentences for the log.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(default_factory=lambda: (socket.gethostname() or "peer")[: limits.PEER_NAME_CHARS_MAX])
    bind: Annotated[str, BeforeValidator(_address)] = "127.0.0.1"
    port: Annotated[int, _int(0, 65_535)] = PORT
    advertise: Annotated[str, BeforeValidator(_address)] | None = None
    mesh_port: Annotated[int, _int(0, 65_535)] | None = None
    data_dir: Annotated[Path, BeforeValidator(_path)] = Field(default_factory=lambda: platformdirs.user_data_path("rendermesh"))
    mesh: str = "default"
    mesh_key: SecretStr | None = None
    insecure: Annotated[bool, BeforeValidator(_switch)] = False
    join: Annotated[tuple[Seed, ...], BeforeValidator(_list)] = ()
    discovery: Choice = DISCOVERY_DEFAULT
    consul_token: SecretStr | None = None
    slots: Annotated[int, _int(0, limits.SLOTS_MAX)] = 1
    renderer: Choice = ()
    blender: Annotated[tuple[Path, ...], BeforeValidator(_paths)] = ()
    sandbox: Literal["auto", "bwrap", "landlock", "none"] = "auto"
    renderer_memory: Annotated[int, BeforeValidator(_bytes)] | None = None
    renderer_cpus: Annotated[int, _int(1, limits.CPUS_MAX)] | None = None
    label: Choice = ()
    preset: Literal["lan", "wan", "local"] = "lan"
    replicas: Annotated[int, _int(1, limits.REPLICAS_MAX)] = 3
    audit_share: Annotated[float, BeforeValidator(_share)] = limits.AUDIT_SHARE
    scene: Annotated[Path, BeforeValidator(_path)] | None = None
    http: Literal["tls", "plain"] | None = None
    new_admin_key: Annotated[bool, BeforeValidator(_switch)] = False
    anonymous_role: Literal["none", "viewer", "submitter", "operator", "admin"] = "none"
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    cache_bytes: Annotated[int, BeforeValidator(_bytes)] = 10 * 2**30
    drain_grace_s: Annotated[float, BeforeValidator(_seconds)] = 30.0
    check_allow: Choice = ()
    output_root: Choice = ()
    shared_root: Choice = ()
    failpoint: str = Field("", exclude=True, repr=False)
    origins: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    warnings: tuple[str, ...] = Field((), exclude=True, repr=False)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the peer."""
        return ipaddress.ip_address(self.bind).is_loopback

    @property
    def http_tls(self) -> bool:
        """Whether the user port speaks TLS: as told, else exactly when there is a mesh key."""
        return self.mesh_key is not None if self.http is None else self.http == "tls"

    @property
    def labels(self) -> dict[str, str]:
        """Labels by key; of two with the same key the later one counts."""
        pairs = (text.partition("=") for text in self.label)
        return {key: value for key, _, value in pairs}

    @property
    def output_roots(self) -> dict[str, str]:
        """Where finished frames may be delivered, by the root's name: a path, or a store's address."""
        return _roots(self.output_root)

    @property
    def advertised_roots(self) -> tuple[str, ...]:
        """What other peers may ask of this one's output roots by: names, and addresses of stores."""
        return advertised(self.output_roots.items())

    @property
    def shared_roots(self) -> dict[str, Path]:
        """Where scenes may be read from without an upload, by the root's name."""
        return {name: expanded(path) for name, path in _roots(self.shared_root).items()}

    @property
    def check_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Where health checks may lead besides this peer's own addresses."""
        return tuple(ipaddress.ip_network(text, strict=False) for text in self.check_allow)

    @field_validator("name", "mesh")
    @classmethod
    def _plain_label(cls, value: str) -> str:
        if not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9 ._-]{{0,{limits.PEER_NAME_CHARS_MAX - 1}}}", value):
            raise ValueError(
                f"{value[:80]!r} must be 1 to {limits.PEER_NAME_CHARS_MAX} letters, digits, spaces, '.', '_' or '-', "
                "beginning with a letter or digit"
            )
        return value

    @field_validator("advertise")
    @classmethod
    def _advertise_one_address(cls, value: str | None) -> str | None:
        if value is not None and ipaddress.ip_address(value).is_unspecified:
            raise ValueError(f"{value} means every address; name the one that the other peers can reach")
        return value

    @field_validator("mesh_key", mode="before")
    @classmethod
    def _key_has_text(cls, value: object) -> object:
        if isinstance(value, str) and not value.strip():
            raise ValueError("the key is empty; make one with `peerctl keygen`")
        return value.strip() if isinstance(value, str) else value

    @field_validator("join", mode="before")
    @classmethod
    def _seeds(cls, value: object) -> tuple[Seed, ...]:
        seeds = tuple(item if isinstance(item, Seed) else parse_seed(str(item)) for item in _list(value))
        if len(seeds) > limits.SEEDS_MAX:
            raise ValueError(f"{len(seeds)} seeds; at most {limits.SEEDS_MAX}, a few are enough to join")
        return seeds

    @field_validator("discovery")
    @classmethod
    def _discovery_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > limits.DISCOVERY_WAYS_MAX:
            raise ValueError(f"{len(value)} ways to find peers; at most {limits.DISCOVERY_WAYS_MAX}")
        for way in value:
            kind = way.partition(":")[0]
            if kind not in KINDS:
                raise ValueError(f"{kind[:80]!r} is unknown{nearest(kind, KINDS)}; ways to find peers are {FORMS}")
            parse_way(way)
        return value

    @field_validator("renderer")
    @classmethod
    def _renderer_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        words = installed_words()
        for name in value:
            if name not in words:
                raise ValueError(f"{name[:80]!r} is unknown{nearest(name, words)}; this installation has {', '.join(words)}")
        return value

    @field_validator("label")
    @classmethod
    def _labels_read(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > limits.LABELS_PER_PEER_MAX:
            raise ValueError(f"{len(value)} labels; at most {limits.LABELS_PER_PEER_MAX}")
        for text in value:
            if len(text) > limits.LABEL_CHARS_MAX or not re.fullmatch(r"[A-Za-z0-9_.-]+=[^\x00-\x1f]*", text):
                raise ValueError(f"{text[:80]!r} is not KEY=VALUE; write for example gpu=rtx4090")
        return value

    @field_validator("failpoint")
    @classmethod
    def _failpoint_known(cls, value: str) -> str:
        if value:
            parse_failpoint(value)
        return value

    @field_validator("output_root", "shared_root")
    @classmethod
    def _roots_read(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [text.partition("=")[0] for text in value]
        if len(names) > limits.ROOTS_MAX or len(set(names)) != len(names):
            raise ValueError(f"at most {limits.ROOTS_MAX} roots, each with a name of its own")
        for text in value:
            name, equals, place = text.partition("=")
            if not equals or not ROOT_NAME.match(name):
                raise ValueError(f"{text[:80]!r} is not NAME=PATH; write for example farm=/mnt/farm")
            check_place(place)
        return value

    @field_validator("shared_root")
    @classmethod
    def _shared_roots_are_folders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for place in _roots(value).values():
            if not expanded(place).is_absolute():
                raise ValueError(f"{place[:80]!r}: scenes are read from folders; write for example farm=/mnt/farm")
        return value

    @field_validator("consul_token", mode="before")
    @classmethod
    def _token_is_one_word(cls, value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(r"[!-~]{1,512}", value.strip()):
            raise ValueError("the token is empty or holds spaces or odd characters")
        return value.strip() if isinstance(value, str) else value

    @field_validator("check_allow")
    @classmethod
    def _networks_read(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > limits.CHECK_ALLOW_MAX:
            raise ValueError(f"{len(value)} networks; at most {limits.CHECK_ALLOW_MAX}")
        for text in value:
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                raise ValueError(f"{text[:80]!r} is not a network; write for example 192.168.1.0/24 or fd00::/8") from None
        return value

    @model_validator(mode="after")
    def _ways_are_walked(self) -> Self:
        if self.join and "static" not in self.discovery:
            raise ValueError(f"join names peers, and discovery is {','.join(self.discovery) or 'empty'}: add static to it")
        return self

    @property
    def ways(self) -> tuple[Way, ...]:
        """`discovery`, read."""
        return tuple(parse_way(text) for text in self.discovery)

    @model_validator(mode="after")
    def _doors_are_guarded(self) -> Self:
        if self.insecure and self.mesh_key is not None:
            raise ValueError("insecure is set and so is a mesh key: take one of them away")
        if not self.loopback and not self.insecure and self.mesh_key is None:
            raise ValueError(
                f"bind {self.bind} can be reached from other machines, and this peer has no mesh key. Make one with "
                "`peerctl keygen > mesh.key`, copy it to every peer and start each with --mesh-key-file mesh.key "
                "(or --insecure, in a closed lab only)"
            )
        if self.new_admin_key and self.mesh_key is None:
            raise ValueError("new_admin_key is set and there is no mesh key: without one no login is needed on this machine")
        if self.http == "tls" and self.insecure:
            raise ValueError("http is tls and insecure is set: certificates come from the mesh key, and there is none")
        return self


def _roots(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = (text.partition("=") for text in texts)
    return {name: place for name, _, place in pairs}


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean ...?` for the closest of `known`, or nothing when none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""
