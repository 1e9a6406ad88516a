from __future__ import annotations

import pytest

from protocol import limits
from protocol.membership.options import LAN, LOCAL, PRESETS, WAN, SwimOptions


@pytest.mark.parametrize("options", PRESETS.values(), ids=PRESETS)
def test_a_preset_leaves_time_for_helpers_and_their_nacks(options: SwimOptions) -> None:
    assert 0 < options.nack_after_s < options.probe_timeout_s < options.probe_interval_s
    assert options.refusal_grace_s < options.nack_after_s
    assert options.gossip_interval_s < options.probe_interval_s


VALUES = [
    "probe_interval_s",
    "probe_timeout_s",
    "helpers",
    "suspicion_mult",
    "suspicion_max_mult",
    "gossip_interval_s",
    "fanout",
    "retransmit_mult",
    "gossip_to_dead_s",
    "sync_interval_s",
    "health_max",
]


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (LAN, (1.0, 0.5, 3, 4, 6, 0.2, 3, 4, 30.0, 30.0, 7)),
        (WAN, (5.0, 3.0, 3, 6, 6, 0.5, 4, 4, 60.0, 60.0, 7)),
        (LOCAL, (1.0, 0.2, 1, 3, 6, 0.1, 3, 2, 15.0, 15.0, 7)),
    ],
    ids=("lan", "wan", "local"),
)
def test_the_presets_have_their_published_values(options: SwimOptions, values: tuple[float, ...]) -> None:
    assert tuple(getattr(options, name) for name in VALUES) == values


def test_what_is_common_to_all_presets() -> None:
    assert [options.confirmations_max for options in (LAN, WAN, LOCAL)] == [2, 4, 1]
    assert {(options.retry_least_s, options.retry_most_s, options.lag_s) for options in PRESETS.values()} == {(3.0, 5.0, 0.1)}
    assert (limits.DATAGRAM_BYTES_MAX, limits.METADATA_BYTES_MAX, limits.DEAD_FORGOTTEN_S) == (1_400, 512, 72 * 3_600)
