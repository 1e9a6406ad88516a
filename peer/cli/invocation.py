"""What every verb is handed: the hosts, the client, the way to print. Each part is made when it is first used."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from peer.cli import settings
from peer.cli.screen import Screen
from peer.cli.settings import Host

if TYPE_CHECKING:
    from peer.cli.client import MeshClient

OutputFormat = Literal["table", "wide", "json", "name"]


@dataclass
class Invocation:
    """One run of peerctl. Flags may stand before or after the verb; those after it win."""

    hosts: tuple[str, ...] = ()
    cacert: str | None = None
    output: OutputFormat | None = None
    screen: Screen = field(default_factory=Screen)

    def overridden(self, *, hosts: tuple[str, ...], cacert: str | None, output: OutputFormat | None) -> Invocation:
        """The same with the flags that stood after the verb."""
        return replace(self, hosts=hosts or self.hosts, cacert=cacert or self.cacert, output=output or self.output)

    @property
    def format(self) -> OutputFormat:
        """The output format; table where none was asked for."""
        return self.output or "table"

    @cached_property
    def settings(self) -> settings.Settings:
        """Hosts, tokens and folders. Raises `CliError`."""
        return settings.load(hosts=self.hosts, cacert=self.cacert)

    @cached_property
    def client(self) -> MeshClient:
        """The way to the mesh. urllib3 is imported here, not before."""
        from peer.cli.client import MeshClient

        nearby = None if self.settings.named or not self.settings.discovery else self._nearby
        return MeshClient(self.settings.hosts, named=self.settings.named, say=self.screen.say, nearby=nearby)

    def _nearby(self) -> tuple[Host, ...]:
        """Peers that mDNS finds, verified as if they had been typed. Whoever is on the network can be one of them, so that
        a token goes there over verified TLS alone."""
        from peer.cli.nearby import find_urls

        urls = find_urls()
        hosts = settings.load(hosts=urls, cacert=self.cacert).hosts if urls else ()
        return tuple(host if host.url.startswith("https:") else replace(host, token=None) for host in hosts)
