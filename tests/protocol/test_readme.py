"""The wire specification says what the source does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from protocol import limits
from protocol.wire import codec, delivery_rows, gossip_rows, key_rows, seal, work_rows
from protocol.wire.gossip import DatagramMessage
from protocol.wire.seal import Dropped

README = Path(__file__).resolve().parents[2] / "protocol" / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_every_message_stands_in_the_table_under_its_tag_and_no_other_does() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+)( \*)? \|", TEXT.partition("## Messages")[2].partition("## Members")[0], re.MULTILINE)
    names = {tag: name for tag, name, _ in rows}
    assert sorted(map(int, names)) == sorted(codec._READERS)
    assert sorted(names.values()) == sorted(kind.__name__ for kind in codec._WRITERS)
    assert {name for _, name, star in rows if star} == {kind.__name__ for kind in get_args(DatagramMessage)}


def test_a_tag_names_the_message_that_is_written_under_it() -> None:
    for module in (gossip_rows, work_rows, key_rows, delivery_rows):
        for kind in module.WRITERS:
            constant = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).upper()
            assert re.search(rf"^\| {getattr(module, constant)} \| {kind.__name__}( \*)? \|", TEXT, re.MULTILINE), kind


def test_the_layout_of_a_datagram_adds_up() -> None:
    table = TEXT.partition("| bytes | field")[2].partition("\n\n")[0]
    sizes = [int(size) for size in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert sum(sizes) == limits.SEAL_BYTES
    assert sum(sizes[:-1]) == seal._HEADER_BYTES
    assert all(f"`{reason.value}`" in TEXT for reason in Dropped)


def test_the_limits_that_it_names_are_those_of_the_source() -> None:
    for limit in (
        f"{limits.DATAGRAM_BYTES_MAX:,} bytes",
        f"{limits.REPLAY_WINDOW:,} counters",
        f"at most {limits.DATAGRAM_PARTS_MAX}:",
        f"{limits.MESSAGE_DEPTH_MAX} deep",
        f"{limits.MESSAGE_ITEMS_MAX:,} items",
        f"{limits.MESSAGE_BYTES_MAX // 2**20} MiB",
        f"at most {limits.KEPT_FIELDS_BYTES_MAX}",
        f"{limits.MEMBERS_LEARNED_PER_MINUTE_MAX:,} learned",
        f"{limits.DEAD_FORGOTTEN_S / 3_600:.0f} hours",
    ):
        assert limit in TEXT, limit
