from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

HEAD = """#version 3.7;
#include "colors.inc"
global_settings { assumed_gamma 1 }
camera { location <0, 1, -5> look_at 0 }
light_source { <5, 5, -5> White }
"""
BALL = HEAD + "sphere { <0, 0, 0>, 1 pigment { Red } translate x*clock }\nplane { y, -1 pigment { checker White Black } }\n"
WEIGHTY = (
    HEAD
    + "light_source { y*9 White area_light x, z, 17, 17 }\n"
    + "".join(
        f"sphere {{ <{i % 9 - 4}, {i // 9 - 3}, 3>, .6 pigment {{ Red }} finish {{ reflection .6 }} }}\n" for i in range(60)
    )
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The folder of a scene."""
    folder = tmp_path / "data" / "trees" / "scene"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def povray() -> str:
    """The program. Without one: a skip, under CI a failure."""
    program = shutil.which("povray", path=os.environ.get("PATH"))
    if program is None:
        pytest.skip("no POV-Ray is installed; as root: apt-get install -y povray")
    return program
