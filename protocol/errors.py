"""Errors that mean something outside: each has a stable `code` and a sentence that says what to do next."""

from __future__ import annotations


class Refusal(Exception):
    """Something was asked that will not be done; nothing has changed. `code` is part of the public contract."""

    def __init__(self, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class Invalid(Refusal):
    """The request itself is wrong (HTTP 400 or 422)."""


class NotFound(Refusal):
    """What it names does not exist here or anywhere that answered (HTTP 404)."""


class Conflict(Refusal):
    """It contradicts what is already so (HTTP 409)."""


class Unavailable(Refusal):
    """It cannot be promised now; a later try may succeed (HTTP 503 with Retry-After)."""


class Malformed(Exception):
    """Bytes from another process that do not say anything in our protocol. Never asserted, always counted."""


class IllegalTransition(AssertionError):
    """Our own mistake: a lifecycle table has no such move. The text tells the story of what it was about."""
