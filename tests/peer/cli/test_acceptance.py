import pytest

from peer.cli.acceptance import After, accept
from peer.cli.failures import Busy, CliError, Exit, Unreachable
from peer.cli.invocation import Invocation

ALONE = After(wait=False, follow=False, folder=None, silent_s=1.0, timeout_s=None)


def begun() -> Unreachable:
    return Unreachable(Exit.UNREACHABLE, "no peer can be reached", begun=True, remedy="start one")


def busy() -> Busy:
    return Busy("full", status=503, retry_after_s=90, remedy="wait", code="store_full")


@pytest.mark.parametrize("error", [begun(), busy(), KeyboardInterrupt()])
def test_what_may_have_been_accepted_names_the_key_that_makes_it_safe_to_say_again(error: BaseException) -> None:
    drawn: list[str] = []

    def send(key: str) -> dict[str, object]:
        drawn.append(key)
        raise error

    with pytest.raises(CliError) as caught:
        accept(Invocation(), send, None, ALONE)
    assert f"--idempotency-key {drawn[0]} it cannot become two jobs" in caught.value.remedy
    assert len(drawn[0]) == 32


def test_a_given_key_is_used_and_a_refusal_stays_as_it_is() -> None:
    def send(key: str) -> dict[str, object]:
        raise CliError(Exit.REFUSED, f"refused {key}", remedy="mend it")

    with pytest.raises(CliError, match="refused mine") as caught:
        accept(Invocation(), send, "mine", ALONE)
    assert caught.value.remedy == "mend it"
