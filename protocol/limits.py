"""Every limit has a name, and the name stands here. Units come last."""

from __future__ import annotations

from typing import Final

# Jobs
FRAMES_PER_JOB_MAX: Final = 1_000_000
FRAMES_TEXT_CHARS_MAX: Final = 65_536
FRAME_NUMBER_MIN: Final = -1_048_574  # Blender's MINAFRAME
FRAME_NUMBER_MAX: Final = 1_048_574  # Blender's MAXFRAME
JOB_NAME_CHARS_MAX: Final = 200
LABELS_PER_JOB_MAX: Final = 32
LABEL_CHARS_MAX: Final = 128
SETTINGS_BYTES_MAX: Final = 65_536
SETTINGS_DEPTH_MAX: Final = 16
IDEMPOTENCY_KEY_CHARS_MAX: Final = 255
ATTEMPTS_PER_FRAME_MAX: Final = 20
OUTPUTS_PER_FRAME_MAX: Final = 256
WARNINGS_PER_SCENE_MAX: Final = 200
REASON_CHARS_MAX: Final = 2_000

# Scenes and blobs
FILES_PER_MANIFEST_MAX: Final = 20_000
FILE_NAME_BYTES_MAX: Final = 1_024
SCENE_BYTES_MAX: Final = 64 * 2**30
ZIP_MEMBERS_MAX: Final = 40_000  # files, and folders besides
ZIP_DIRECTORY_BYTES_MAX: Final = 16 * 2**20
ZIP_TRUSTED_BYTES: Final = 256 * 2**20  # what unpacks to no more than this is not measured by its ratio:
ZIP_RATIO_MAX: Final = 100  # bytes that one byte of a zip may become, over all of it
ZIP_SCENES_NAMED: Final = 20
BLOB_CHUNK_BYTES: Final = 256 * 1024
FRAME_LOG_BYTES_MAX: Final = 256 * 1024

# Messages
DATAGRAM_BYTES_MAX: Final = 1_400
METADATA_BYTES_MAX: Final = 512
MESSAGE_BYTES_MAX: Final = 4 * 2**20
MESSAGE_DEPTH_MAX: Final = 12
FACTS_PER_MESSAGE_MAX: Final = 2_000
ATTIC_BATCH: Final = 256  # facts that leave memory together, once as many newer ones are there
MEMBERS_LEARNED_PER_MINUTE_MAX: Final = 20_000

# Queues
OUTBOX_DATAGRAMS_MAX: Final = 4_096
OUTBOX_MESSAGES_PER_PEER_MAX: Final = 10_000
INBOX_EVENTS_MAX: Final = 20_000
SIGNAL_ROUNDS_MAX: Final = 64
TRACE_STEPS_KEPT: Final = 10_000
EVENTS_KEPT: Final = 10_000

# Leases and batches (relative seconds on monotonic clocks)
BATCH_SECONDS_MAX: Final = 30.0
LEASE_TTL_S: Final = 20.0
LEASE_RENEW_S: Final = 5.0
IDLE_ASK_S: Final = 2.0
LEDGER_ROUND_S: Final = 2.0
FRAMES_PER_BATCH_MAX: Final = 1_000
LANDINGS_PER_JOB_MAX: Final = 256  # frames whose bytes are on their way to the owner, before it hands out more
LOCATE_S: Final = 0.3
INQUIRY_S: Final = 0.3  # others are asked so long whether they know a submission
INQUIRY_PEERS_MAX: Final = 32

# Settings of a peer
CONFIG_FILE_BYTES_MAX: Final = 2**20
SECRET_FILE_BYTES_MAX: Final = 64 * 1024
PEER_NAME_CHARS_MAX: Final = 63
SEEDS_MAX: Final = 256
SLOTS_MAX: Final = 256
REPLICAS_MAX: Final = 16
LABELS_PER_PEER_MAX: Final = 16
CACHE_BYTES_MIN: Final = 64 * 2**20
DRAIN_GRACE_S_MAX: Final = 86_400.0

# Images to verify (the sides are Blender's own limit)
IMAGE_FILE_BYTES_MAX: Final = 16 * 2**30
IMAGE_SIDE_PX_MAX: Final = 65_536
IMAGE_PIXELS_MAX: Final = 2**29
IMAGE_PARTS_MAX: Final = 1_024
IMAGE_CHANNELS_MAX: Final = 4_096
VERIFY_CHUNK_BYTES: Final = 64 * 2**20
VERIFY_MEMORY_BYTES_MAX: Final = 6 * 2**30
VERIFY_CPU_S_MAX: Final = 300
VERIFY_WALL_S_MAX: Final = 900.0
VERIFY_START_S_MAX: Final = 60.0
VERIFY_LINE_BYTES_MAX: Final = 64 * 1024

# Headers of .blend files
BLEND_BLOCKS_MAX: Final = 50_000_000
BLEND_WINDOW_BYTES_MAX: Final = 128 * 2**20

# Facts as rows (protocol/ledger/rows.py): what another process may put into one
FACT_BYTES_MAX: Final = 32 * 2**20
SPEC_CHARS_MAX: Final = 262_144
SUBMITTER_CHARS_MAX: Final = 255
CONTROL_CHARS_MAX: Final = 65_536
TEXT_CHARS_MAX: Final = 1_024
REPLICAS_PER_JOB_MAX: Final = 64
PIXELS_PER_SIDE_MAX: Final = 1_048_576
WALL_MS_MAX: Final = 2**53
GENERATIONS_MAX: Final = 1_000_000
EPOCH_MAX: Final = 2**63 - 1
ATTEMPT_COUNTER_MAX: Final = 2**64 - 1

# Store
VALUE_KEY_CHARS_MAX: Final = 200
VALUE_BYTES_MAX: Final = 16 * 2**20
FACTS_RECALLED_AT_ONCE: Final = 10_000  # of a start; more are read piece by piece
COMMITS_PER_TRANSACTION_MAX: Final = 1_000
WAL_PAGES_MAX: Final = 2_000
STORE_RESERVE_BYTES: Final = 64 * 2**20  # stays free so that the journal can still write when blobs no longer may
BLOB_GRACE_S: Final = 600.0  # a blob that just arrived waits this long for its pin before it may be evicted
PARTIALS_KEPT_MAX: Final = 64
HASH_PIECE_BYTES: Final = 2**20
STORE_THREADS_MAX: Final = 4
SMALL_FILE_BYTES_MAX: Final = 64 * 1024  # files up to this are taken in, and asked for between peers, many at a time
SMALL_FILES_MAX: Final = 2_000  # at a time,
SMALL_FILES_BYTES_MAX: Final = 8 * 2**20  # and bytes of them
SMALL_FILE_THREADS: Final = 8  # whose fsyncs wait for the disk together

# Mesh port and datagrams (peer/net)
MESSAGES_PER_POST_MAX: Final = 1_000
POST_BYTES_MAX: Final = MESSAGE_BYTES_MAX + 2**20
POST_BASE_S: Final = 10.0
POST_BYTES_PER_S_MIN: Final = 256 * 1024
CONNECT_S: Final = 2.0
HANDSHAKE_S: Final = 10.0
OUTBOX_BYTES_PER_PEER_MAX: Final = 64 * 2**20
OUTBOX_IDLE_S: Final = 30.0
OUTBOX_REFUSED_WAIT_S: Final = 0.2
OUTBOX_REFUSALS_MAX: Final = 25
MESH_CLIENT_KEEPALIVE_S: Final = 30.0
MESH_SERVER_KEEPALIVE_S: Final = 75.0
MESH_SHUTDOWN_S: Final = 2.0
MESH_BACKLOG: Final = 512
DATAGRAM_SOCKET_BYTES: Final = 2**20
FETCHES_AT_ONCE_MAX: Final = 4
SMALL_FETCHES_AT_ONCE: Final = 8
FETCH_STALL_S: Final = 20.0
HOLDERS_PER_FETCH_MAX: Final = 256
FETCH_TRIES_PER_HOLDER_MAX: Final = 3
FORWARD_STALL_S: Final = 60.0
FORWARDS_AT_ONCE_MAX: Final = 256
ADDRESSES_PER_SEED_MAX: Final = 256
RESOLVE_S: Final = 10.0
RESOLVE_AGAIN_S: Final = 10.0

# Catalogue
CATALOG_VALUE_BYTES_MAX: Final = 65_536
CATALOG_KEY_CHARS_MAX: Final = 200
CATALOG_KEYS_PER_WRITER_MAX: Final = 100_000
CATALOG_WRITERS_MAX: Final = 20_000
CATALOG_PUSH_PEERS: Final = 16  # up to this many live peers hear of a change at once; beyond, rounds carry it
CATALOG_ROUND_S: Final = 1.0
REASONS_PER_SUMMARY_MAX: Final = 8
SUMMARY_RANGES_CHARS_MAX: Final = 400

# Renderer processes (peer/render)
DRIVER_LINE_BYTES_MAX: Final = 2**20
DRIVER_REQUESTS_MAX: Final = 2 * FRAMES_PER_BATCH_MAX
RENDERER_START_S_MAX: Final = 180.0
RENDERER_TERM_S: Final = 1.0
RENDERER_STALL_S: Final = 120.0
RENDERER_RSS_KEPT_BYTES: Final = 2 * 2**30
RENDERERS_SOON_S: Final = 30.0  # between two looks for renderers at least; twice as long after each that lacks one
RENDERERS_AGAIN_S: Final = 3_600.0  # and this long at most
SANDBOX_TRIAL_S_MAX: Final = 20.0
CPUS_MAX: Final = 4_096
RENDER_LOG_LINE_BYTES_MAX: Final = 4_096
FILES_REPORTED_PER_FRAME_MAX: Final = OUTPUTS_PER_FRAME_MAX
NULL_FRAME_MS_MAX: Final = 3_600_000

# HTTP on the user port (peer/web)
HTTP_BODY_BYTES_MAX: Final = 2**20
HTTP_KEEPALIVE_S: Final = 15.0
HTTP_BODY_GRACE_S: Final = 5.0
HTTP_BODY_BYTES_PER_S_MIN: Final = 16 * 1024
HTTP_BODY_S_MAX: Final = 43_200.0
HTTP_WRITE_S_MAX: Final = 60.0  # a reader that takes no piece of an answer for this long is cut off
HTTP_SHUTDOWN_S: Final = 5.0
FORM_FIELD_BYTES_MAX: Final = 65_536
FORM_FIELDS_MAX: Final = 256
UPLOADS_AT_ONCE_MAX: Final = 16
ARCHIVES_AT_ONCE_MAX: Final = 16
EVENT_STREAMS_MAX: Final = 256
EVENT_HEARTBEAT_S: Final = 15.0
RIGHTS_LOOK_S: Final = 1.0  # how often an answer that lasts looks whether its caller's key still counts
PAGE_ITEMS: Final = 100
PAGE_ITEMS_MAX: Final = 1_000
REQUEST_ID_CHARS_MAX: Final = 64
FORWARD_PEERS_MAX: Final = 8
MESH_VIEW_PEERS_MAX: Final = 64
MESH_VIEW_S: Final = 2.0
ZIP_DIRECTORY_MEMORY_BYTES: Final = 2**20

# Fields of messages (protocol/wire)
MESSAGE_ITEMS_MAX: Final = 20_000
DURATION_S_MAX: Final = 1e9
VERSION_MAX: Final = 65_535
KEPT_FIELDS_BYTES_MAX: Final = 128
CAPABILITIES_MAX: Final = 64
HOLDERS_PER_LEASE_MAX: Final = 64
LEASES_PER_MESSAGE_MAX: Final = 256
SUMMARIES_PER_ANSWER_MAX: Final = 256
ADDRESSES_REMEMBERED: Final = 8_192

# Sealed datagrams (protocol/wire/seal.py)
SEAL_BYTES: Final = 87
DATAGRAM_PAYLOAD_BYTES_MAX: Final = DATAGRAM_BYTES_MAX - SEAL_BYTES
DATAGRAM_PARTS_MAX: Final = 64
KEYS_PER_RING_MAX: Final = 8
SALTS_REMEMBERED: Final = 4_096
SALTS_BELIEVED_MAX: Final = 20_000
REPLAY_WINDOW: Final = 1_024

# Membership
PROTOCOL_VERSION_MIN: Final = 1
PROTOCOL_VERSION_MAX: Final = 1
MEMBERS_MAX: Final = 20_000
DEAD_FORGOTTEN_S: Final = 72 * 3_600.0
BROADCASTS_MAX: Final = 10_000
PROBES_AT_ONCE_MAX: Final = 32
RELAYS_AT_ONCE_MAX: Final = 1_024
ECHOES_AWAITED_MAX: Final = 4_096
STRANGERS_HELD_MAX: Final = 1_024
MESSAGES_HELD_PER_STRANGER_MAX: Final = 64
CHALLENGES_PER_S_MAX: Final = 64
SNAPSHOT_PEERS_MAX: Final = 1_000
SNAPSHOT_BYTES_MAX: Final = 256 * 1024
FRAMES_SPELLED_OUT_MAX: Final = 20_000

# Ledger
REPLICAS_DEFAULT: Final = 3
ACCEPT_S: Final = 30.0  # to reach the promised copies, plus the scene's size at ACCEPT_BYTES_PER_S
ACCEPT_BYTES_PER_S: Final = 5_000_000
REPLICA_GRACE_S: Final = 60.0  # a dead replica may come back for this long before its bytes are copied elsewhere
SUMMARY_COUNTS_S: Final = 10.0  # counts alone are published this rarely in a large mesh
SUMMARY_COUNTS_SMALL_MESH_S: Final = 1.0  # and this often while no more than CATALOG_PUSH_PEERS are live
HEIR_TURN_S: Final = 4.0  # a recorded replica that does not take over in its turn leaves it to the next one
MERGE_S: Final = 1.0  # an heir asks for facts, and waits so long at most before it takes a job over
CLAIM_S: Final = 5.0  # and so long at most for a second peer to hold its ownership, before it hands out work
ADOPT_S: Final = 6.0  # holders that are no recorded replicas come so much later
ADOPT_RANKS_MAX: Final = 8
OWNER_UNHEARD_S: Final = 30.0  # an owner that was never heard of since our start may still be starting itself
BOOT_HEAR_S: Final = 2.0  # an owner that starts again listens so long for who has taken its jobs over
EARLY_RENEWALS_MAX: Final = 4_096
RECLAIM_S: Final = 1.0  # and its workers have so long to say what they have in flight
HANDOVER_WAIT_S: Final = 2.0  # an owner that drains or is critical finishes what it has just begun to accept
TAKEOVERS_AT_ONCE_MAX: Final = 64
HANDOVER_S: Final = 10.0  # a leaving peer waits so long at most until others hold what it holds
GIVEN_UP_MAX: Final = 10_000
TOMBSTONES_MAX: Final = 1_000_000
ENDED_JOBS_KEPT: Final = 10_000

# A thief's look ahead: the next batch is asked for, and the next frame handed over, when this much work is left
LOOKAHEAD_S: Final = 0.2
SHORT_FRAME_S: Final = 1.0  # frames up to this long are handed over two at a time
FRAMES_IN_RENDERER_MAX: Final = 2
OUTBOX_REPORTS_MAX: Final = 4_096
REPORT_RESEND_S: Final = 3.0
REPORT_SENDS_MAX: Final = 200  # to an owner that is there and does not answer: it has forgotten the job
ASK_TIMEOUT_S: Final = 5.0
JOBS_TIMED_MAX: Final = 64
CACHED_SCENES_TOLD_MAX: Final = 32
SYNC_NEWS_MAX: Final = 5_000
SEEDS_ASKED_AT_ONCE: Final = 8
LEFT_TOLD_DIRECTLY_MAX: Final = 32
JOIN_TOLD_DIRECTLY_MAX: Final = 32

# Engine
EVENTS_PER_TURN_MAX: Final = 64
EFFECTS_PER_COMMIT_MAX: Final = 4_096
GATE_EFFECTS_MAX: Final = 50_000  # what may wait for the disk before peers are pushed back
ENGINE_IDLE_S: Final = 1.0
GAUGE_S: Final = 1.0
LOOP_LAG_TOLD_S: Final = 0.1
INSECURE_WARNED_S: Final = 60.0
DRAIN_POLL_S: Final = 0.05
PROGRESS_APART_S: Final = 0.5

# Pings that people ask for
PING_S: Final = 3.0
PINGS_AT_ONCE_MAX: Final = 64
PINGS_PER_ASK_MAX: Final = 10
PING_PAUSE_S: Final = 0.2

# Access (protocol/access)
KEYS_MAX: Final = 10_000  # revoked ones count: a revocation is never forgotten
KEY_NAME_CHARS_MAX: Final = 64
KEY_FIELDS_MAX: Final = 16
KEY_ROWS_PER_MESSAGE_MAX: Final = 2_000
ACCESS_PUSH_PEERS: Final = 16  # up to this many live peers hear of a change at once; beyond, a few do and pass it on
ACCESS_PUSH_FEW: Final = 3
ACCESS_ROUND_S: Final = 2.0
ACCESS_BUCKETS: Final = 16
LOGIN_FAILURES_PER_MINUTE_MAX: Final = 20
LOGIN_ADDRESSES_MAX: Final = 10_000
ADMIN_KEY_WAIT_S: Final = 30.0  # for a mesh that may have keys already, before a first admin key is made
ADMIN_KEY_WAIT_MDNS_S: Final = 5.0  # the same where only mDNS could name others: it answers soon, or there is nobody
HOST_NAME_CHARS_MAX: Final = 253
ACCESS_BUCKET_HASH_BYTES: Final = 8

# Services and checks (protocol/health, peer/checks.py, peer/web/consul)
SERVICES_PER_PEER_MAX: Final = 500
CHECKS_PER_PEER_MAX: Final = 1_000
CHECKS_PER_SERVICE_MAX: Final = 32
SERVICE_ID_CHARS_MAX: Final = 128
CHECK_ID_CHARS_MAX: Final = 160  # that of a service's checks begins with the service's
CHECK_NAME_CHARS_MAX: Final = 256
SERVICE_TAGS_MAX: Final = 64
SERVICE_TAG_CHARS_MAX: Final = 255
SERVICE_META_MAX: Final = 64
SERVICE_META_KEY_CHARS_MAX: Final = 128
SERVICE_META_VALUE_CHARS_MAX: Final = 512
SERVICE_ROW_BYTES_MAX: Final = CATALOG_VALUE_BYTES_MAX - 1_024
CHECK_TARGET_CHARS_MAX: Final = 2_048
CHECK_NOTES_CHARS_MAX: Final = 1_024
CHECK_HEADERS_MAX: Final = 32
CHECK_OUTPUT_BYTES_MAX: Final = 4_096
CHECK_INTERVAL_S_MIN: Final = 1.0
CHECK_INTERVAL_S_MAX: Final = 86_400.0
CHECK_TIMEOUT_S_DEFAULT: Final = 10.0
CHECK_TIMEOUT_S_MAX: Final = 60.0
CHECK_THRESHOLD_MAX: Final = 1_000
CHECK_OUTPUT_PUBLISH_S: Final = 30.0  # how often at most an output is published that comes with no other status
DEREGISTER_AFTER_S_MIN: Final = 60.0
PROBES_OF_CHECKS_AT_ONCE_MAX: Final = 64
CHECK_ALLOW_MAX: Final = 64
DIRECTORY_TOPICS_MAX: Final = 8_192
BLOCKING_QUERIES_MAX: Final = 1_024
BLOCKING_WAIT_S_DEFAULT: Final = 300.0
BLOCKING_WAIT_S_MAX: Final = 600.0
BLOCKING_LOOK_S: Final = 5.0  # how often a waiting query looks whether its client is still there
JOIN_WAIT_S: Final = 5.0

# Discovery (peer/discovery): providers yield candidates, and whoever is on the network can make some up
DISCOVERY_CANDIDATES_MAX: Final = 64  # told after one look
DISCOVERY_CANDIDATES_PER_MINUTE: Final = 256  # addresses never told before, over all providers
DISCOVERY_REMEMBERED_MAX: Final = 4_096
DISCOVERY_WAYS_MAX: Final = 16
DISCOVERY_RESTART_S: Final = 30.0
DISCOVERY_FAULT_AGAIN_S: Final = 600.0
DISCOVERY_FAULTS_MAX: Final = 64
DISCOVERY_TEXT_CHARS_MAX: Final = 300
ADVERT_FIELD_BYTES_MAX: Final = 254  # key and value of a TXT string, without the sign between them
ADVERT_LABEL_CHARS_MAX: Final = 40
LINKS_MAX: Final = 16
LINKS_AGAIN_S: Final = 5.0
MDNS_RETRY_S: Final = 5.0
MDNS_RESOLVE_S: Final = 3
MDNS_RESOLVERS: Final = 4
MDNS_NAMES_WAITING_MAX: Final = 256
MDNS_GOODBYE_S: Final = 1.0
DNS_ALONE_S: Final = 10.0
DNS_REFRESH_S: Final = 30.0
DNS_TTL_S_MAX: Final = 300.0
DNS_ANSWER_S: Final = 5.0
DNS_SERVICES_MAX: Final = 32
CONSUL_REPLY_BYTES_MAX: Final = 8 * 2**20
CONSUL_REPLY_S: Final = 10.0
CONSUL_WAIT_S: Final = 60
CONSUL_LEAST_S: Final = 1.0  # between two questions, however soon the answers come
CONSUL_RETRY_S: Final = 1.0
CONSUL_RETRY_S_MAX: Final = 60.0
CONSUL_RENEW_S: Final = 60.0
CONSUL_CHECK_S: Final = 10
CONSUL_CHECK_TIMEOUT_S: Final = 5
CONSUL_GONE_S: Final = 300
CONSUL_GOODBYE_S: Final = 2.0

# Key ring (protocol/keyring)
KEYS_REMOVED_REMEMBERED_MAX: Final = 256
KEYS_ROUND_S: Final = 60.0  # comparing rings, once anything was ever done to one
KEYS_RESEND_S: Final = 1.0
KEYS_CONFIRM_S: Final = 5.0
KEYS_ASKS_MAX: Final = 16
KEYS_GREETED_FEW: Final = 3  # so many of all members compare their ring with somebody who has just come
KEY_TEXT_CHARS_MAX: Final = 512

# Scrubbing of blobs (peer/store/scrub), and what follows a find (protocol/ledger/healing)
SCRUB_BYTES_PER_S: Final = 16 * 2**20
SCRUB_ROUND_S: Final = 3_600.0
HEAL_RETRY_S: Final = 30.0
HEAL_TRIES_MAX: Final = 10
HEALS_MAX: Final = 10_000
LOST_WITHOUT_HOLDER_S: Final = 15.0  # a finished frame whose holders are all dead is rendered again after this
LOST_WITH_HOLDER_S: Final = 60.0  # and after this when one lives that cannot give its bytes
SEARCHES_AT_ONCE_MAX: Final = 256

# Delivery to output roots (protocol/delivery, peer/delivery)
ROOTS_MAX: Final = 32
ROOT_NAME_CHARS_MAX: Final = 63
ROOT_CHARS_MAX: Final = 320  # a name, or the address of a store
DESTINATION_CHARS_MAX: Final = 1_200
PARCELS_PER_CARRY_MAX: Final = 32
OUTPUTS_PER_CARRY_MAX: Final = 1_024
REPLACED_HASHES_MAX: Final = 1_024
CONFLICTS_PER_FACT_MAX: Final = 8_192
CARRY_RESEND_S: Final = 30.0
SWEPT_AT_ONCE: Final = 1_024  # frames; a job of a million would hold the peer up, and fill its memory
STORE_RETRIES_MAX: Final = 3
STORE_RETRY_TOTAL_S: Final = 20.0
STORE_CONNECT_S: Final = 5
STORE_REQUEST_S: Final = 900  # one file is one request
STORE_RACES_MAX: Final = 4
DELIVERY_RETRY_S: Final = 2.0
DELIVERY_RETRY_S_MAX: Final = 60.0

# sampled verification

AUDIT_SHARE: Final = 0.02  # of the committed frames, how many are rendered once more by another peer
AUDITS_AT_ONCE_MAX: Final = 8
AUDIT_WITNESSES_MAX: Final = 6  # peers that are asked about one frame, those who cannot tell among them
AUDIT_JOBS_KEPT: Final = 256
AUDIT_PATIENCE_S: Final = 120.0  # so long, and so many times the frame's own seconds, may a witness take
AUDIT_PATIENCE_FRAMES: Final = 20
AUDIT_PATIENCE_S_MAX: Final = 6 * 3_600.0
FAVOURS_MAX: Final = 4
VERDICTS_MAX: Final = 64
COMPARE_STEP: Final = 1.5 / 255  # samples that are further apart than this are different
