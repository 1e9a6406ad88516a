"""The level of this machine's processor, as Cycles picks its kernel by it: it decides the last bits of a picture."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

_AVX2: Final = frozenset({"ssse3", "sse4_1", "sse4_2", "avx", "f16c", "avx2", "fma", "bmi1", "bmi2"})
_SSE42: Final = frozenset({"ssse3", "sse4_1", "sse4_2"})


def cpu_kernel(cpuinfo: Path = Path("/proc/cpuinfo"), machine: str = "") -> str:
    """`avx2`, `sse42`, or the machine's name where Cycles knows no levels or nothing can be read."""
    name = machine or platform.machine().lower()
    if name not in ("x86_64", "amd64"):
        return name
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        return name
    flags = next((set(line.partition(":")[2].split()) for line in text.splitlines() if line.startswith("flags")), set[str]())
    return "avx2" if flags >= _AVX2 else "sse42" if flags >= _SSE42 else name
