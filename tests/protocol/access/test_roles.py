from __future__ import annotations

from typing import get_args

from protocol.access.roles import ROLES, Permission, allows, role_named


def test_a_role_may_do_what_every_lower_one_may():
    callers = (None, *ROLES)
    table = [[allows(permission, role) for role in callers] for permission in get_args(Permission)]
    assert table == [[index <= column for column in range(5)] for index in range(5)]


def test_roles_by_name():
    assert [role_named(role) for role in ROLES] == list(ROLES)
    for text in ("", "Admin", "root", "public", "admin "):
        assert role_named(text) is None
