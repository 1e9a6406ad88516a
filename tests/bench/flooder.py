"""Bad datagrams by the thousand, to one address, for a bounded time: `flooder.py HOST PORT RATE SECONDS KEY_FILE MESH RECORDING`.

Every kind of bad: noise, nothing at all, cut, too large, with a flipped bit, recorded and played again, and, sealed with the
mesh's own key as a broken or hostile peer could, nested and bloated insides. Prints how many went out and how long it took.
Only ever run by `tests.bench.flood`, inside a network namespace that the run made.
"""

from __future__ import annotations

import json
import random
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack

from peer.net.meshkey import load_or_make_loopback_key
from protocol import limits
from protocol.ids import PeerId
from protocol.wire.seal import KeyRing, MeshKey, Sealer

BATCH_S = 0.01
VARIANTS = 400  # of each kind, made beforehand: making them costs more than sending them
RATE_MAX, SECONDS_MAX = 20_000, 60.0


def main(host: str, port: int, rate: int, seconds: float, kinds: list[list[bytes]]) -> dict[str, float]:
    """Send `rate` a second for `seconds`, the kinds in turn; how many, and in how many seconds."""
    if not (0 < rate <= RATE_MAX and 0 < seconds <= SECONDS_MAX):
        raise SystemExit(f"at most {RATE_MAX} a second for at most {SECONDS_MAX:g} s")
    sent, total, began_s = 0, int(rate * seconds), time.monotonic()
    endless = in_turn(kinds)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))
        while sent < total and time.monotonic() - began_s < 2 * seconds:
            due = min(total, int(rate * (time.monotonic() - began_s + BATCH_S)))
            for _ in range(due - sent):
                sock.send(next(endless))
            sent = max(sent, due)
            time.sleep(max(0.0, began_s + sent / rate - time.monotonic()))
    return {"sent": sent, "seconds": time.monotonic() - began_s}


def in_turn(kinds: list[list[bytes]]) -> Iterator[bytes]:
    """One of each kind, again and again."""
    dice = random.Random(1)
    while True:
        for kind in kinds:
            yield dice.choice(kind)


def bad_datagrams(key: MeshKey, recording: list[bytes]) -> list[list[bytes]]:
    """Every kind, `VARIANTS` of each. `recording` are real ones."""
    dice = random.Random(2)
    noise = [dice.randbytes(dice.randrange(1, 1_400)) for _ in range(VARIANTS)]
    cut = [(one := dice.choice(recording))[: dice.randrange(len(one))] for _ in range(VARIANTS)]
    large = [dice.choice(recording) + dice.randbytes(dice.randrange(1_400, 20_000)) for _ in range(VARIANTS)]
    return [
        noise,
        [b""],
        cut,
        large,
        [flipped(dice.choice(recording), dice) for _ in range(VARIANTS)],
        recording,
        sealed(key, dice),
    ]


def flipped(datagram: bytes, dice: random.Random) -> bytes:
    """One bit of it is another."""
    at = dice.randrange(len(datagram))
    return datagram[:at] + bytes([datagram[at] ^ (1 << dice.randrange(8))]) + datagram[at + 1 :]


def sealed(key: MeshKey, dice: random.Random) -> list[bytes]:
    """Insides that no honest peer writes: nested to the limit of a datagram, huge announced lengths, parts without end."""
    sealer = Sealer(KeyRing(key), PeerId(secrets.token_hex(32)), secrets.token_bytes(16))
    room = limits.DATAGRAM_PAYLOAD_BYTES_MAX
    insides = [
        part(b"\x91" * (room - 2)),  # lists in lists in lists
        part(b"\xdd\xff\xff\xff\xff"),  # a list of four thousand million
        part(b"\xc6\xff\xff\xff\xff" + b"x" * 100),  # as many bytes
        b"\x00\x00" * (room // 2),  # empty parts
        b"\xff\xff",  # a part longer than the datagram
        part(msgpack.packb([1, 2**63, "\ud800".encode("utf-8", "surrogatepass"), None])),
    ]
    return [sealer.seal(dice.choice(insides)) for _ in range(VARIANTS)]


def part(data: bytes) -> bytes:
    """One part of a datagram, behind its length."""
    return len(data).to_bytes(2, "big") + data


if __name__ == "__main__":
    mesh_key = load_or_make_loopback_key(Path(sys.argv[5]), mesh_name=sys.argv[6])
    recorded = [bytes.fromhex(line) for line in Path(sys.argv[7]).read_text().split()]
    print(
        json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), bad_datagrams(mesh_key, recorded)))
    )
