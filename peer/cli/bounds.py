"""How much, how long, how often: every bound of the client, by name. Units come last."""

from __future__ import annotations

from typing import Final

# One request
CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 30.0
SEND_STALL_S: Final = 60.0  # an upload whose peer takes no byte for this long goes to the next host
ACCEPT_TIMEOUT_S: Final = 90.0  # after the last byte of a scene: the peer makes two durable copies before it answers,
ACCEPT_BYTES_PER_S: Final = 5_000_000  # and so much of the scene may take a second more
HEAD_S: Final = 30.0  # a peer that has begun to answer says its status and headers within this
BODY_GRACE_S: Final = 60.0  # a body may lag behind BODY_BYTES_PER_S by this much
BODY_BYTES_PER_S: Final = 1_024
REPLY_BYTES_MAX: Final = 64 * 2**20
CHUNK_BYTES: Final = 256 * 1024
NEARBY_S: Final = 1.0
NEARBY_MORE_S: Final = 0.1
HOSTS_MAX: Final = 64
HOST_CHARS_MAX: Final = 253

# Busy peers (429, 503)
BUSY_ATTEMPTS_MAX: Final = 5
BUSY_WAIT_S: Final = 2.0  # when the peer names no Retry-After
BUSY_WAIT_MAX_S: Final = 60.0  # a peer that asks for more is not waited for
BUSY_TOTAL_S: Final = 180.0
DOWN_WAIT_S: Final = 1.0  # between two rounds over hosts of which none answers

# Waiting for a job
POLL_FIRST_S: Final = 0.2
POLL_MAX_S: Final = 2.0
PATIENCE_S: Final = 120.0  # how long no peer at all may answer before a wait gives up
PEERS_ASKED_S: Final = 10.0
WATCH_S: Final = 2.0
EVENTS_REMEMBERED: Final = 20_000

# Lists and downloads
PAGE_ITEMS: Final = 1_000
PAGES_MAX: Final = 2_000
DOWNLOADS_AT_ONCE: Final = 4
DOWNLOAD_ATTEMPTS: Final = 3
OUTPUT_NAME_BYTES_MAX: Final = 1_024
SMALL_FILE_BYTES_MAX: Final = 64 * 1024  # tokens, and the JSON that peers and peerctl leave for this account
FRAMES_TEXT_CHARS_MAX: Final = 65_536
FRAMES_MAX: Final = 1_000_000
ASSETS_MAX: Final = 20_000

# Looking for what a scene uses: a program that opens it
TRACE_S_MAX: Final = 900.0
MISSING_SHOWN: Final = 20
FOLDERS_SHOWN: Final = 5
TRACED_LIBRARIES_MAX: Final = 200

# Uploads smaller than this show no progress where there is no terminal
QUIET_UPLOAD_BYTES: Final = 64 * 2**20

# Event streams
EVENT_BYTES_MAX: Final = 1 * 2**20
EVENT_SILENCE_S: Final = 20.0
STREAM_STEADY_S: Final = 1.0  # a stream that was heard this long works, whether it had an event or not
BREAKS_MAX: Final = 3  # in a row, with no event between them
