from pathlib import Path

import pytest
import trustme

from peer.cli.failures import CliError
from peer.cli.pinning import fetch_authority, fingerprint_of, is_fingerprint, keep, same_fingerprint
from peer.cli.settings import pin_of, secure_url


def test_fingerprints_are_of_the_certificate_and_not_of_its_text() -> None:
    pem = trustme.CA().cert_pem.bytes().decode()
    assert fingerprint_of(pem) == fingerprint_of(f"\n{pem}\n\n")
    assert is_fingerprint(fingerprint_of(pem))
    assert not same_fingerprint(fingerprint_of(pem), fingerprint_of(trustme.CA().cert_pem.bytes().decode()))


def test_each_host_has_a_pin_of_its_own_below_the_folder(tmp_path: Path) -> None:
    pins = {pin_of(tmp_path, f"https://{host}") for host in ("a:1", "a:2", "b:1", "[::1]:1", "../../x:1")}
    assert len(pins) == 5
    assert all(pin.parent == tmp_path / "trust" for pin in pins)


def test_a_scheme_that_was_named_stays() -> None:
    assert secure_url("http://127.0.0.1:7700", named_scheme=False) == "https://127.0.0.1:7700"
    assert secure_url("http://127.0.0.1:7700", named_scheme=True) == "http://127.0.0.1:7700"


def test_plain_http_has_no_authority() -> None:
    with pytest.raises(CliError, match="plain HTTP"):
        fetch_authority("http://127.0.0.1:1")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "trust").write_text("a file")
    with pytest.raises(CliError, match="cannot keep"):
        keep(tmp_path, "https://127.0.0.1:1", "PEM", lambda _: None)
