from __future__ import annotations

import re

from peer.web.consul.table import CONSUL

LISTED = """
agent/self agent/members agent/services agent/service/:id agent/service/register agent/service/deregister/:id
agent/service/maintenance/:id agent/checks agent/check/register agent/check/deregister/:id agent/check/pass/:id
agent/check/warn/:id agent/check/fail/:id agent/check/update/:id agent/health/service/name/:service
agent/health/service/id/:id agent/join/:address agent/leave agent/force-leave/:node catalog/datacenters catalog/nodes
catalog/services catalog/service/:service catalog/node/:node health/service/:service health/node/:node
health/checks/:service health/state/:state status/leader status/peers
"""


def test_every_path_that_clients_use_is_there_once():
    paths = [re.sub(r"\{(\w+)[^}]*\}", r":\1", route.path) for route in CONSUL]
    assert sorted(paths) == sorted(f"/v1/{path}" for path in LISTED.split())


def test_reading_needs_the_viewer_and_changing_the_operator_role():
    assert {route.permission for route in CONSUL if route.method == "GET"} == {"viewer"}
    changing = {route.path: route.permission for route in CONSUL if route.method == "PUT"}
    assert changing.pop("/v1/agent/leave") == "admin"
    assert set(changing.values()) == {"operator"}
