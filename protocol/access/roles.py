"""The four roles and their order: whoever may do something in one of them may do it in every higher one.

Decides nothing about routes (each states the role that it needs) and nothing about how a role is proven.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Role = Literal["viewer", "submitter", "operator", "admin"]
Permission = Literal["public", "viewer", "submitter", "operator", "admin"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
_ORDER: Final[tuple[str, ...]] = get_args(Permission)


def allows(permission: Permission, role: Role | None) -> bool:
    """Whether a caller with `role` (None: not logged in) may use what needs `permission`."""
    return _ORDER.index(permission) <= _ORDER.index(role or "public")


def role_named(text: str) -> Role | None:
    """The role that is called so, or None."""
    return next((role for role in ROLES if role == text), None)
