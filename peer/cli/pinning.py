"""The authorities that this account trusts, one per peer: fetched without trust, compared by a person, then kept.

Decides that a fingerprint is the whole of the matter. Never sends a token.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import ssl
import warnings
from pathlib import Path
from typing import Final

import urllib3

from peer.cli import bounds
from peer.cli.bodies import whole
from peer.cli.client import Call, MeshClient, Say
from peer.cli.earlyanswer import ListeningManager
from peer.cli.failures import CliError, Exit, Unreachable
from peer.cli.settings import Host, pin_of

PEM_BYTES_MAX: Final = 64 * 1024


def fetch_authority(url: str) -> str:
    """The PEM that the host at `url` shows as its mesh's authority, unverified. Raises `CliError`."""
    if not url.startswith("https://"):
        remedy = f"write https://{url.partition('://')[2]}"
        raise CliError(Exit.USAGE, f"{url} is plain HTTP, where no authority can be pinned", remedy=remedy)
    text = _get_unverified(f"{url}/ca.pem").decode("ascii", "replace").strip()
    try:
        ssl.PEM_cert_to_DER_cert(text)
    except ValueError:
        remedy = "is a peer's user port there, with TLS of the mesh's own?"
        raise CliError(Exit.ERROR, f"{url}/ca.pem is no certificate", remedy=remedy) from None
    return text + "\n"


def _get_unverified(url: str) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    timeout = urllib3.Timeout(connect=bounds.CONNECT_TIMEOUT_S, read=bounds.READ_TIMEOUT_S)
    with warnings.catch_warnings(), ListeningManager(ssl_context=context, assert_hostname=False) as pool:
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)  # that is what it is for
        try:
            response = pool.request("GET", url, timeout=timeout, retries=False, redirect=False, preload_content=False)
            body = whole(response, PEM_BYTES_MAX)
            response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            remedy = "is peerd running there, with TLS? name it as HOST:PORT"
            raise Unreachable(Exit.UNREACHABLE, f"{url} cannot be fetched", why=str(error), remedy=remedy) from None
    return body if response.status == 200 else b""


def fingerprint_of(pem: str) -> str:
    """SHA-256 of the certificate, as peerd and openssl print it: `AB:CD:...`."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).digest().hex(":").upper()


def same_fingerprint(given: str, found: str) -> bool:
    """Whether they say the same; colons, case, blanks and a leading `SHA256:` do not matter."""
    return _digits(given) == _digits(found)


def is_fingerprint(text: str) -> bool:
    """Whether `text` is a SHA-256 at all."""
    return re.fullmatch(r"[0-9a-f]{64}", _digits(text)) is not None


def _digits(text: str) -> str:
    return re.sub(r"\Asha-?256[:=\s]", "", text.strip().lower()).replace(":", "").replace(" ", "")


def keep(config_dir: Path, url: str, pem: str, say: Say) -> Path:
    """Pin `pem` for the host at `url`, after that host has proven to have a certificate of this authority."""
    path = pin_of(config_dir, url)
    fresh = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_text(pem)
        MeshClient([Host(url, ca=str(fresh), mesh_ca=True)], named=True, say=say).request(Call("GET", "/healthz/live"))
        fresh.replace(path)
    except OSError as error:
        raise CliError(Exit.ERROR, f"cannot keep the authority at {path}", why=str(error)) from None
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()
    return path
