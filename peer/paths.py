"""Paths as people write them. Pure but for the account that `~` stands for."""

from __future__ import annotations

from pathlib import Path


def expanded(text: str) -> Path:
    """The path with `~` as a home folder. Raises `ValueError` for a home that there is not, and for what no path can be."""
    if "\0" in text:
        raise ValueError("a path has no zero byte in it")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text[:80]!r}: there is no such home folder") from None
