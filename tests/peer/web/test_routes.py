from __future__ import annotations

from peer.web.openapi import PARAMETERS
from peer.web.routes import TABLE


def test_each_method_of_a_path_stands_once():
    keys = [(route.method, route.path) for route in TABLE]
    assert len(keys) == len(set(keys))


def test_what_writes_is_never_public_nor_for_viewers():
    assert {route.permission for route in TABLE if route.method != "GET"} <= {"submitter", "operator", "admin"}


def test_every_parameter_is_described():
    import re

    assert {name for route in TABLE for name in re.findall(r"\{(\w+)", route.path)} == set(PARAMETERS)
