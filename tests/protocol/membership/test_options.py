from __future__ import annotations

import pytest

from protocol.membership.options import LAN, LOCAL, PRESETS, WAN, SwimOptions


@pytest.mark.parametrize("options", PRESETS.values(), ids=PRESETS)
def test_a_preset_leaves_time_for_helpers_and_their_nacks(options: SwimOptions) -> None:
    assert 0 < options.nack_after_s < options.probe_timeout_s < options.probe_interval_s
    assert options.refusal_grace_s < options.nack_after_s
    assert options.gossip_interval_s < options.probe_interval_s


def test_the_presets_have_their_published_values() -> None:
    assert (LAN.probe_interval_s, LAN.probe_timeout_s, LAN.helpers, LAN.suspicion_mult, LAN.fanout) == (1.0, 0.5, 3, 4, 3)
    assert (WAN.probe_interval_s, WAN.probe_timeout_s, WAN.helpers, WAN.suspicion_mult, WAN.fanout) == (5.0, 3.0, 3, 6, 4)
    assert (LOCAL.probe_interval_s, LOCAL.probe_timeout_s, LOCAL.helpers, LOCAL.suspicion_mult) == (1.0, 0.2, 1, 3)
    assert [options.confirmations_max for options in (LAN, WAN, LOCAL)] == [2, 4, 1]
