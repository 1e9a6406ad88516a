"""Saves a scene that attacks the machine which renders it. Runs inside Blender, in either home, by its path: `-- FILE`.

A driver and a registered text script both run `attack.py`, once each: it reads what it attacks from `params.json` beside the
scene, tries every way out, and prints what it could do. Blender refuses both, unless the scene is opened with scripts allowed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # Blender knows nothing of the project

import bpy

from tests.scenes.small import small

ATTACK = """
import json, os, signal, socket
import bpy

with open(bpy.path.abspath("//params.json")) as file:
    aim = json.load(file)


def connect(kind, family, to):
    with socket.socket(family, kind) as one:
        one.settimeout(2)
        one.connect(to)
        one.send(WHO.encode())


def write(path):
    with open(path, "w") as file:
        file.write(WHO)


def read(path):
    with open(path, "rb") as file:
        file.read(16)


WAYS = {
    "write outside": lambda: write(os.path.join(aim["outside"], WHO)),
    "write beside the scene": lambda: write(bpy.path.abspath("//by_" + WHO)),
    "read the identity": lambda: read(aim["secret"]),
    "list the data folder": lambda: os.listdir(aim["data"]).index("identity.key"),
    "open the key to everybody": lambda: os.chmod(aim["secret"], 0o640),
    "connect by TCP": lambda: connect(socket.SOCK_STREAM, socket.AF_INET, ("127.0.0.1", aim["tcp"])),
    "send by UDP": lambda: connect(socket.SOCK_DGRAM, socket.AF_INET, ("127.0.0.1", aim["udp"])),
    "connect to a socket file": lambda: connect(socket.SOCK_STREAM, socket.AF_UNIX, aim["unix"]),
    "connect to an abstract socket": lambda: connect(socket.SOCK_STREAM, socket.AF_UNIX, "\\0" + aim["abstract"]),
    "signal another process": lambda: os.kill(aim["pid"], signal.SIGUSR1),
    "read its environment": lambda: read("/proc/%d/environ" % aim["pid"]),
}
done = []
for name, way in WAYS.items():
    try:
        way()
        done.append(name)
    except (OSError, ValueError):
        pass
print("HOSTILE " + WHO + " " + json.dumps(done), flush=True)
"""

small()
bpy.data.texts.new("attack.py").from_string(ATTACK)
RUN = "exec(__import__('bpy').data.texts['attack.py'].as_string(), {'WHO': 'WHOM'})"
text = bpy.data.texts.new("rig.py")
text.use_module = True
text.from_string(RUN.replace("WHOM", "script"))
bpy.data.objects["Cube"].driver_add("location", 0).driver.expression = RUN.replace("WHOM", "driver") + " or 0.0"
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[sys.argv.index("--") + 1])
