from __future__ import annotations

import asyncio
import json
import socket
import stat
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import structlog

from peer.entrance import anonymous_role, names_of, own_address, patience_s, warn_while_open, write_client_files
from peer.net.certificates import AUTHORITY_SEED_BYTES, derive_authority
from peer.settings import Settings
from protocol import limits
from tests.waiting import wait_until

KEY = "rendermesh-key-1:" + "a" * 32 + ":" + "b" * 64


def settings(**values) -> Settings:
    return Settings(**values)


@pytest.mark.parametrize(
    ("values", "role"),
    [
        ({}, "admin"),
        ({"mesh_key": KEY}, None),
        ({"mesh_key": KEY, "bind": "0.0.0.0"}, None),
        ({"mesh_key": KEY, "bind": "0.0.0.0", "anonymous_role": "viewer"}, "viewer"),
        ({"bind": "0.0.0.0", "insecure": True}, "submitter"),
        ({"anonymous_role": "viewer"}, "viewer"),
    ],
)
def test_a_door_is_opened_by_saying_so_alone(values, role):
    assert anonymous_role(settings(**values)) == role


async def test_an_open_door_is_warned_of_again_and_again():
    with structlog.testing.capture_logs() as said:
        warning = asyncio.create_task(warn_while_open(settings(bind="0.0.0.0", insecure=True), every_s=0.001))
        await wait_until(lambda: len(said) >= 3)
        warning.cancel()
    assert {(row["log_level"], row["event"]) for row in said} == {("warning", "insecure")}
    assert "OPEN TO EVERYBODY (--insecure)" in said[-1]["text"]


@pytest.mark.parametrize("values", [{}, {"mesh_key": KEY, "bind": "0.0.0.0", "anonymous_role": "submitter"}])
async def test_a_door_that_is_not_insecure_is_not_warned_of(values):
    with structlog.testing.capture_logs() as said:
        await warn_while_open(settings(**values), every_s=3_600)
    assert said == []


def test_patience_is_for_those_who_were_told_of_others():
    assert patience_s(settings(discovery=("static",))) == 0
    assert patience_s(settings(discovery=("static",), join=("10.0.0.1:7700",))) == limits.ADMIN_KEY_WAIT_S


def test_a_port_that_listens_everywhere_answers_to_every_address_of_the_machine():
    everywhere = names_of(settings(bind="0.0.0.0", mesh_key=KEY), "192.0.2.1")
    assert everywhere[0] == "192.0.2.1"
    assert "127.0.0.1" in everywhere
    assert names_of(settings(bind="127.0.0.3", mesh_key=KEY), "127.0.0.3") == ("127.0.0.3",)


def test_the_account_s_tools_find_address_authority_and_key(tmp_path: Path):
    authority = derive_authority(bytes(range(AUTHORITY_SEED_BYTES)))
    write_client_files(settings(data_dir=tmp_path, mesh_key=KEY), "https://127.0.0.1:7700", [authority])
    document = json.loads((tmp_path / "client.json").read_text())
    assert document == {
        "url": "https://127.0.0.1:7700",
        "ca": str(tmp_path / "ca.pem"),
        "token": None,
        "key": str(tmp_path / "admin.key"),
    }
    assert stat.S_IMODE((tmp_path / "client.json").stat().st_mode) == 0o600
    assert (tmp_path / "ca.pem").read_text() == authority.pem
    write_client_files(settings(data_dir=tmp_path), "http://127.0.0.1:7700", [authority])
    assert json.loads((tmp_path / "client.json").read_text())["key"] is None


def test_the_bound_address_is_told_to_others_and_a_reachable_one_when_all_are_bound(monkeypatch):
    def cards(*addresses):
        return {"eth0": [SimpleNamespace(family=family, address=address) for family, address in addresses]}

    assert own_address("192.0.2.7") == "192.0.2.7"
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: cards((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "10.1.2.3")))
    assert own_address("0.0.0.0") == "10.1.2.3"
    assert own_address("::") == "::1"
