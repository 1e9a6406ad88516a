from peer.cli import bounds


def test_a_busy_peer_is_waited_for_within_the_total() -> None:
    assert bounds.BUSY_WAIT_S <= bounds.BUSY_WAIT_MAX_S <= bounds.BUSY_TOTAL_S


def test_a_look_at_a_job_comes_before_patience_ends() -> None:
    assert bounds.POLL_FIRST_S <= bounds.POLL_MAX_S < bounds.PATIENCE_S
    assert bounds.CONNECT_TIMEOUT_S + bounds.READ_TIMEOUT_S < bounds.PATIENCE_S


def test_an_upload_may_stall_longer_than_a_connection_may_take() -> None:
    assert bounds.CONNECT_TIMEOUT_S < bounds.SEND_STALL_S < bounds.ACCEPT_TIMEOUT_S


def test_lists_hold_the_largest_job() -> None:
    assert bounds.PAGES_MAX * bounds.PAGE_ITEMS >= bounds.FRAMES_MAX
