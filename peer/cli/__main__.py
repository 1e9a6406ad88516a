"""`python -m peer.cli` is peerctl."""

from peer.cli.main import main

main()
