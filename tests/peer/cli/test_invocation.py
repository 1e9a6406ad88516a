import pytest

from peer.cli.failures import CliError
from peer.cli.invocation import Invocation


def test_flags_after_the_verb_override_only_what_they_name() -> None:
    above = Invocation(hosts=("a",), cacert="ca.pem", output="wide")
    below = above.overridden(hosts=("b",), cacert=None, output=None)
    assert (below.hosts, below.cacert, below.format) == (("b",), "ca.pem", "wide")


def test_table_is_the_default() -> None:
    assert Invocation().format == "table"


def test_settings_are_read_when_first_needed() -> None:
    invocation = Invocation(hosts=("::not a host::",))
    with pytest.raises(CliError, match="cannot read the host"):
        _ = invocation.client
