from __future__ import annotations

from peer.web.pace import Pace


def test_the_grace_is_all_that_silence_gets():
    pace = Pace(grace_s=5.0, bytes_per_s=16_384, total_s=100.0)
    assert pace.allowance_s == 5.0
    pace.charge(waited_s=4.0, received_bytes=0)
    assert pace.allowance_s == 1.0
    pace.charge(waited_s=2.0, received_bytes=0)
    assert pace.allowance_s == 0.0


def test_bytes_buy_time():
    pace = Pace(grace_s=1.0, bytes_per_s=1_000, total_s=100.0)
    pace.charge(waited_s=1.0, received_bytes=3_000)
    assert pace.allowance_s == 3.0


def test_the_whole_has_an_end_however_fast_it_comes():
    pace = Pace(grace_s=1.0, bytes_per_s=1_000, total_s=10.0)
    pace.charge(waited_s=9.0, received_bytes=10**9)
    assert pace.allowance_s == 1.0
