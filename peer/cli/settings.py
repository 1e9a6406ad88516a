"""Where the mesh is and what proves who we are: the only file of the client that reads the environment.

Decides the order of hosts, which authority verifies each and which token may go there. Refuses to know HTTP.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from peer.cli import bounds
from peer.cli.documents import parse, read_bounded
from peer.cli.failures import CliError, Exit

APP: Final = "rendermesh"
DEFAULT_PORT: Final = 7700
_NO_HOST: Final = frozenset(" %/\\?#@[]<>\"'`{}|^")
DEFAULT_URL: Final = f"http://127.0.0.1:{DEFAULT_PORT}"


@dataclass(frozen=True, slots=True)
class Host:
    """One peer's user port. `url` has no trailing slash; `ca` None means the system's authorities.

    `mesh_ca`: the authority is the mesh's own. Whoever holds the mesh key can issue any name under it, so names are not
    checked there; everywhere else they are. `token` goes to this host only over verified TLS or loopback.
    """

    url: str
    ca: str | None = None
    mesh_ca: bool = False
    token: str | None = None

    @property
    def is_private(self) -> bool:
        """Whether a token may travel to this host: TLS (always verified), or this machine itself."""
        parts = urlsplit(self.url)
        return parts.scheme == "https" or is_loopback(parts.hostname or "")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything outside the command line's verb. `hosts` is never empty; `named`: the user named them.

    `discovery`: whether peers nearby may be looked for when no host was named (PEERCTL_DISCOVERY, mdns or none)."""

    hosts: tuple[Host, ...]
    named: bool
    data_dir: Path
    state_dir: Path
    discovery: bool
    config_dir: Path


def load(*, hosts: Sequence[str] = (), cacert: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read flags (given), environment and `client.json`, in this order. Raises `CliError` (usage) for what makes no sense."""
    env = os.environ if environ is None else environ
    data_dir = _data_dir(env)
    token = _token(env)
    authority = _authority(cacert or env.get("PEERCTL_CACERT") or None)
    local = _local_peer(data_dir)
    texts = _listed(hosts) or _listed([env.get("PEERCTL_HOST", "")])
    if len(texts) > bounds.HOSTS_MAX:
        raise CliError(Exit.USAGE, f"{len(texts)} hosts were named; at most {bounds.HOSTS_MAX} are tried")
    config_dir = _config_dir()
    found = tuple(_host(parse_url(text), authority=authority, token=token, local=local, pins=config_dir) for text in texts)
    return Settings(
        hosts=found or (_default_host(local, authority=authority, token=token, pins=config_dir),),
        named=bool(found),
        data_dir=data_dir,
        state_dir=_state_dir(),
        discovery=_discovery(env),
        config_dir=config_dir,
    )


def _listed(texts: Iterable[str]) -> list[str]:
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def child_environment() -> dict[str, str]:
    """The environment for programs that peerctl starts itself (Blender, peerd): ours without its secrets."""
    return {name: value for name, value in os.environ.items() if name not in ("PEERCTL_TOKEN", "PEERCTL_TOKEN_FILE")}


def parse_url(text: str, *, source: str = "") -> str:
    """`HOST`, `HOST:PORT` or a URL as a URL with scheme and port. Without a scheme: http on loopback, https elsewhere.

    Raises `CliError` (usage) with a form that works. `source`: the file in which it stands.
    """
    where = f" in {source}" if source else ""
    wrong = CliError(
        Exit.USAGE,
        f"cannot read the host {text[:80]!r}{where}",
        remedy="write for example -H 10.0.0.5:7700 or -H https://render1:7700",
    )
    bare = "://" not in text
    candidate = f"//{text}" if bare else text
    if bare and text.count(":") > 1 and not text.startswith("["):
        candidate = f"//[{text}]"
    try:
        parts = urlsplit(candidate)
        name, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if (
        not name
        or not text.isprintable()
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
        or parts.username
        or parts.password
    ):
        raise wrong
    scheme = parts.scheme or ("http" if is_loopback(name) else "https")
    if scheme not in ("http", "https") or not (_is_ipv6(name) if ":" in name else _is_name(name)):
        raise wrong
    shown = f"[{name}]" if ":" in name else name
    return f"{scheme}://{shown}:{port or DEFAULT_PORT}"


def _is_name(text: str) -> bool:
    """A name or an IPv4 address: not what it resolves to, only that it is one word that can stand in a URL."""
    return len(text) <= bounds.HOST_CHARS_MAX and text.isprintable() and not any(char in _NO_HOST for char in text)


def _is_ipv6(text: str) -> bool:
    literal, _, scope = text.partition("%")
    try:
        ipaddress.IPv6Address(literal)
    except ValueError:
        return False
    return "%" not in text or (scope.isascii() and scope.replace("-", "").replace(".", "").isalnum())


def secure_url(url: str, *, named_scheme: bool) -> str:
    """`url` with https where its user has named no scheme: a pin is for TLS alone."""
    return url if named_scheme else f"https://{url.partition('://')[2]}"


def pin_of(config_dir: Path, url: str) -> Path:
    """Where the authority that `peerctl trust` has pinned for the host at `url` lies."""
    from urllib.parse import quote

    return config_dir / "trust" / f"{quote(url.partition('://')[2], safe='')}.pem"


def is_loopback(name: str) -> bool:
    """Whether `name` can only mean this machine: localhost or a loopback address."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _default_host(local: Host | None, *, authority: str | None, token: str | None, pins: Path) -> Host:
    if local is None:
        return Host(DEFAULT_URL, ca=authority, token=token)
    return _host(local.url, authority=authority, token=token, local=local, pins=pins)


def _host(url: str, *, authority: str | None, token: str | None, local: Host | None, pins: Path) -> Host:
    """A host with what verifies it: a given authority first, then what was pinned for it, else the local peer's own."""
    same = local is not None and local.url == url
    pin = pin_of(pins, url)
    if authority is None and not same and url.startswith("https:") and _is_file(pin):
        return Host(url, ca=str(pin), mesh_ca=True, token=token)
    if local is not None and authority is None:
        return Host(url, ca=local.ca, mesh_ca=local.ca is not None, token=token or (local.token if same else None))
    return Host(url, ca=authority, token=token or (local.token if local is not None and same else None))


def _authority(path: str | None) -> str | None:
    if path is not None and not _is_file(Path(path)):
        raise CliError(
            Exit.USAGE,
            f"the authority's file {path!r} is not there",
            remedy="get it from the peer: its /ca.pem, over a way you trust",
        )
    return path


def _is_file(path: Path) -> bool:
    """Whether there is such a file; there is none of a name that is too long for one, or holds what no name may."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _token(env: Mapping[str, str]) -> str | None:
    plain, path = env.get("PEERCTL_TOKEN"), env.get("PEERCTL_TOKEN_FILE")
    if plain and path:
        raise CliError(Exit.USAGE, "PEERCTL_TOKEN and PEERCTL_TOKEN_FILE are both set", remedy="unset one of them")
    if plain:
        return _word(plain.strip(), "PEERCTL_TOKEN")
    return _secret(Path(path), "PEERCTL_TOKEN_FILE") if path else None


def _secret(path: Path, source: str) -> str:
    try:
        text = read_bounded(path).strip()
    except (OSError, ValueError) as error:
        raise CliError(Exit.USAGE, f"cannot read the token file {str(path)!r} of {source}", why=str(error)) from None
    return _word(text, f"the token file {str(path)!r} of {source}")


def _word(text: str, source: str) -> str:
    """What can stand in a header. The text itself is never shown."""
    if not text or any(not "!" <= char <= "~" for char in text):
        raise CliError(Exit.USAGE, f"{source} holds no single word of plain characters")
    return text


def _local_peer(data_dir: Path) -> Host | None:
    """What the peer of this account left in `client.json`: `{"url", "ca": path|null, "token": text or "key": path}`."""
    path = data_dir / "client.json"
    try:
        document: Any = parse(read_bounded(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CliError(
            Exit.ERROR,
            f"cannot read {path}",
            why=str(error),
            remedy="name the peer: -H HOST, or restart peerd, which writes it anew",
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("url"), str):
        raise CliError(
            Exit.ERROR, f"{path} names no peer", remedy="name the peer: -H HOST, or restart peerd, which writes it anew"
        )
    return Host(
        parse_url(document["url"], source=str(path)),
        ca=_optional(document, "ca"),
        mesh_ca=_optional(document, "ca") is not None,
        token=_local_token(document, path),
    )


def _local_token(document: Mapping[str, Any], path: Path) -> str | None:
    key = _optional(document, "key")
    if key is None:
        token = _optional(document, "token")
        return None if token is None else _word(token, str(path))
    at = path.parent / key
    return _secret(at, str(path)) if _is_file(at) else None


def _optional(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None


def _data_dir(env: Mapping[str, str]) -> Path:
    named = env.get("PEER_DATA_DIR")
    if named:
        return Path(named)
    from platformdirs import user_data_path

    return user_data_path(APP)


def _config_dir() -> Path:
    from platformdirs import user_config_path

    return user_config_path(APP)


def _discovery(env: Mapping[str, str]) -> bool:
    way = env.get("PEERCTL_DISCOVERY") or "mdns"
    if way not in ("mdns", "none"):
        raise CliError(Exit.USAGE, f"PEERCTL_DISCOVERY is {way[:80]!r}", remedy="write mdns or none")
    return way == "mdns"


def _state_dir() -> Path:
    from platformdirs import user_state_path

    return user_state_path(APP)
