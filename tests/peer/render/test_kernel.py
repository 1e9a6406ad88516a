from __future__ import annotations

from pathlib import Path

import pytest

from peer.render.kernel import cpu_kernel

NEW = "ssse3 sse4_1 sse4_2 avx f16c avx2 fma bmi1 bmi2 aes"
OLD = "ssse3 sse4_1 sse4_2 aes"


@pytest.mark.parametrize(("flags", "level"), [(NEW, "avx2"), (OLD, "sse42"), ("mmx", "x86_64"), (f"{OLD} avx2", "sse42")])
def test_the_level_follows_from_the_processor_s_flags(tmp_path: Path, flags: str, level: str):
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor : 0\nmodel name : any\nflags\t\t: fpu {flags}\n\nprocessor : 1\nflags : fpu\n")
    assert cpu_kernel(info, "x86_64") == level


def test_without_a_list_of_flags_the_machine_s_name_must_do(tmp_path: Path):
    assert cpu_kernel(tmp_path / "none", "x86_64") == "x86_64"
    assert cpu_kernel(tmp_path / "none", "aarch64") == "aarch64"
    assert cpu_kernel() != ""
