"""What each role may do, and roles as proxies and providers write them."""

from collections.abc import Iterable
from typing import Literal

from app.accounts.errors import WrongRole
from app.store.records import ALL_ROLES, Actor, Role

__all__ = ["LOCAL", "Permission", "check", "roles_of"]

Permission = Literal["read", "edit", "sign", "audit"]
PREFIX = "crossray-"
"""Providers of a whole hospital call a group "crossray-reader" rather than "reader"."""
ALLOWED: dict[Permission, frozenset[Role]] = {
    "read": ALL_ROLES,
    "edit": frozenset({"reader", "radiologist"}),
    "sign": frozenset({"radiologist"}),
    "audit": frozenset({"admin"}),
}
WORDS: dict[Permission, str] = {
    "read": "open studies",
    "edit": "change reports",
    "sign": "sign, amend or reject reports",
    "audit": "read the audit log",
}
LOCAL = Actor("local", ALL_ROLES)
"""Whoever reaches a service without accounts."""


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """The roles among the names of groups; other groups are not ours."""
    bare = {name.strip().lower().removeprefix(PREFIX) for name in names}
    return frozenset(role for role in ALL_ROLES if role in bare)


def check(actor: Actor, permission: Permission) -> None:
    """Raises WrongRole where an actor's roles do not allow it."""
    if not actor.roles & ALLOWED[permission]:
        needed = " or ".join(sorted(ALLOWED[permission]))
        held = ", ".join(sorted(actor.roles)) or "no role"
        raise WrongRole(
            f"this account has {held} and may not {WORDS[permission]}: that takes the role "
            f"{needed}, which the administrator of the accounts gives"
        )
