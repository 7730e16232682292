// Which constants the numbers in the documents stand for.

/**
 * @typedef {object} DocumentNumbers
 * @property {string} path of the document
 * @property {readonly string[]} from files with the constants
 * @property {readonly string[]} says what has to stand in it, with constants in braces
 * @property {readonly RegExp[]} others numbers that no constant stands for, with what is around them: figures that were measured, formats, examples
 * @property {boolean} [all] numbers without a unit, too
 */

const NBD = 'libs/nbd/src/constants.ts';
const RMR = 'libs/rmr/src/constants.ts';
const RTRS = 'libs/rtrs/src/constants.ts';
const BRMR = 'libs/brmr/src/constants.ts';
const STORE = 'libs/bitmap-store/src/constants.ts';
const FILE_DISK = 'libs/brmr/src/node/file-disk.ts';
const CANARY = 'libs/brmr/src/node/device-canary.ts';
const KEPT_STORE = 'libs/brmr/src/core/server/kept-store.ts';
const PEER_STATE = 'libs/runtime/src/node/peer-state.ts';

/** @type {readonly DocumentNumbers[]} */
export const DOCUMENT_NUMBERS = [
  {
    path: 'docs/nbd.md',
    from: [NBD, PEER_STATE, 'libs/runtime/src/world.ts', BRMR],
    all: true,
    says: [
      'maximum payload {PAYLOAD_BYTES_MAX MiB}',
      '| `READ` | up to {PAYLOAD_BYTES_MAX MiB}.',
      '| `WRITE` | up to {PAYLOAD_BYTES_MAX MiB}; handed to the device in parts of at most {WRITE_PART_BYTES MiB} (ending at multiples of {WRITE_PART_BYTES MiB} of the offset)',
      'at most {EXTENTS_MAX plain} descriptors per reply',
      '`READ` longer than {PAYLOAD_BYTES_MAX MiB}',
      'more than {OPTION_BYTES_MAX KiB} of option data; more than {OPTIONS_MAX plain} options; no export chosen within {HANDSHAKE_MS_MAX s}',
      'a `WRITE` longer than {PAYLOAD_BYTES_MAX MiB}',
      '| connections | {CONNECTIONS_MAX}, or `nbd.connections` |',
      '| of these, connections that have not chosen an export, those that wait for one (`nbd.exportWait`) included | {NEGOTIATIONS_MAX} |',
      '| negotiation | {HANDSHAKE_MS_MAX s} |',
      '| exports | {EXPORTS_MAX plain} |',
      '| name, description | {STRING_BYTES_MAX plain} bytes of UTF-8',
      '| requests in flight on a connection | {IN_FLIGHT_REQUESTS_MAX} |',
      '| {IN_FLIGHT_BYTES_MAX MiB}, less when there are many connections: {IN_FLIGHT_BYTES_SERVER_MAX MiB} divided by the number of those that have chosen an export, at least {IN_FLIGHT_BYTES_MIN MiB};',
      'and the client has another {HANDSHAKE_MS_MAX s} to choose an export',
      '| {RANGES_BYTES_MAX MiB}, down to {RANGES_BYTES_MIN MiB} where members take longer than {RANGE_MS ms} for a piece; pieces of {RANGES_BYTES_MIN / RANGES_PER_WINDOW / MIB plain} to {RANGES_BYTES_MAX / RANGES_PER_WINDOW MiB}, {RANGES_IN_FLIGHT_MAX} at most.',
      '| replies to options that a client has not taken | {HAGGLING_BACKLOG_BYTES_MAX KiB} |',
      '| end of a connection, last replies on their way | {CLOSING_MS_MAX s} |',
      '| graceful shutdown, requests still executing | {SHUTDOWN_MS_MAX s} |',
      'hosts that have been silent for {KEEP_ALIVE_IDLE_S * 1000 s} are asked, and one that has not answered for {CLIENT_SILENT_MS_MAX s} is gone',
      'at most {IN_FLIGHT_REQUESTS_MAX} for each',
      'read ahead by {STALLED_READ_AHEAD_BYTES KiB}',
      'by asking the kernel: each {TICK_INTERVAL_MS ms}',
      'for longer than {CLIENT_TRUST_MS ms}, what it had sent',
      'Where nothing was heard for {CLIENT_TRUST_MS ms}',
      'Within {CLIENT_TRUST_MS ms} of the moment',
    ],
    others: [/clients fall back to 32-bit lengths/g, /preferred 4096/g, /up to 4 GiB - 1/g],
  },
  {
    path: 'docs/protocol.md',
    from: [RMR, 'libs/rmr/src/core/client/legs/leg-table.ts'],
    says: [
      'these **chunks** ({CHUNK_BYTES_DEFAULT KiB} each, by default)',
      'its first attempts to connect have ended, in 5 s at most',
      'at most {READ_CHECK_BYTES_MAX GiB} and for ten seconds',
      'could not be pulled for {PASS_BY_MS s} although',
      'doubles from {REFUSED_RETRY_MS s} to {REFUSED_RETRY_MS_MAX min}',
      'waits for it, {FAILED_WRITE_WAIT_MS s} at most',
      'What has not ended after {ORDERLY_STOP_MS_MAX s}',
      'waited for a dirty chunk for {WAIT_BOUNCE_MS s}',
      'within {BIRTH_MS s}',
      'at least {RENEW_MS s} after the last such record',
      'and {AGE_UNFLUSHED_MS s} after it if nobody has',
      'which gets {MOVED_MS s} at first',
      'reads are answered for {LEASE_MS s} from when a majority',
      'lets {LEASE_END_MS s}',
      'The pauses grow from {SPACE_RETRY_MS s} to {SPACE_RETRY_MS_MAX min}',
      'times as long, and more than {SLOW_LEG_MS_MIN ms}',
      'within the last `legSlowFor` ({SLOW_LEG_FOR_MS_DEFAULT s})',
      'got on with pulling within the last {EXCUSED_MS s}',
      'as soon as it has answered nothing for {PROBATION_STALL_MS s}',
      'keeps IO held for `legReturnHold` ({RETURN_HOLD_MS_DEFAULT s}, L4)',
      'the returning one has {RETURN_HOLD_MS_DEFAULT s} in all',
      'from {2 * RETURN_RETRY_MS s} to `legReturnDelayMax`',
      'and IO has waited for {AWAITED_MS s}',
      'is asked again after {RESYNC_RETRY_MS s}',
      'is asked for it again after {RESYNC_UNREADABLE_MS s}: a disk may take',
      'speaks for up to {RANGE_BYTES_MAX MiB}',
      'Resync rests for {FEEL_LISTEN_MS + FEEL_SETTLE_MS s} every few seconds',
    ],
    others: [/attempt to connect\s+\(5 s at most\)/g, /at the same speed within 10 %/g, /A leg that stops for 4\.5 s of every\s+5 s/g],
  },
  {
    path: 'docs/status.md',
    from: [RMR, 'libs/admin-api/src/health-log.ts', 'libs/runtime/src/bounded-log.ts'],
    says: [
      'or after {WAIT_BOUNCE_MS s} of waiting for a chunk',
      'A node that starts has {START_MS s} to find the others',
      'the first {LINES_AT_ONCE} are written as they come',
      'until there has been none for {QUIET_MS minutes}',
    ],
    others: [/1, 3, 7, 15,\s+31 and 63 minutes/g],
  },
  {
    path: 'docs/store-io.md',
    // Some have the same name as one of another file: the last file counts.
    from: [CANARY, RMR, KEPT_STORE, 'libs/brmr/src/core/server/unwritten-limit.ts', 'libs/brmr/src/node/file-room.ts', FILE_DISK],
    says: [
      'until it has been well for {POOL_HOLD_MS s}',
      'as it was seen at most {LOOK_STALE_MS s} ago (it is looked at every {LOOK_MS ms} while there is IO)',
      'was filled within {LOOK_MS ms}',
      '(at least {LOW_SPACE_BYTES_MIN MiB}, at most {LOW_SPACE_BYTES_MAX GiB})',
      'under way for more than {FLUSH_SLOW_MS ms}, nothing runs inline',
      'An answer that is more than {LATE_MS ms} late ends inline work',
      'One that is late by more than {DEVICE_STALL_MS s}, for {POOL_HOLD_MS s} beyond',
      'While one has been under way for more than {ALLOCATION_SLOW_MS ms} nothing',
      'An inline batch that took more than {STALL_MS ms} ends it for {POOL_HOLD_MS s}',
      'what the disk writes in {OWED_MS s} at the pace',
      '{UNWRITTEN_BYTES_MIN MiB} at least, {UNWRITTEN_BYTES_MAX GiB} at most, {UNWRITTEN_BYTES_FIRST MiB} before anything is known',
      'from {SLOW_MS s} of the oldest request on',
      'until no request has been old for {QUICK_MS s}',
    ],
    others: [
      /^## Measured[\s\S]*?(?=^## What keeps)/gm,
      /^Inline writes of 4 KiB beside endless flushes[\s\S]*?counts as dead/gm,
      /A canary reads 4 KiB/g,
      /takes some 0\.1 s at\s+its start/g,
      /waits for work costs 9 KiB: 1024 threads take 9 MiB more/g,
      /at 20 % of 64 GiB a flush/g,
      /^Tested with two members on disks[\s\S]*?at any time/gm,
      /\(512 bytes to 64 KiB; 4 KiB where it says something else\)/g,
      /`discard_granularity`, 4 KiB to\s+1 MiB/g,
      /asks again every 10 s/g,
      /has 1 GiB free|1 GiB was filled|for each 4 KiB that/g,
      /^Microseconds per 4 KiB[\s\S]*?(?=^## )/gm,
    ],
  },
  {
    path: 'docs/wire-format.md',
    from: [RTRS, RMR],
    says: [
      'text, 0–{REASON_BYTES_MAX bytes} | refusal code',
      'text, 0–{REASON_BYTES_MAX bytes} | 0 |',
      '| client | 0–{USER_HEADER_BYTES_MAX bytes} |',
      '| server | 0–{RESPONSE_HEADER_BYTES_MAX bytes} |',
      'within {HANDSHAKE_TIMEOUT_MS s} of the connection',
      '{PAYLOAD_BYTES_MIN KiB} to {PAYLOAD_BYTES_MAX MiB}',
      '{HEARTBEAT_INTERVAL_MS_MIN plain} to {HEARTBEAT_INTERVAL_MS_MAX ms}',
      'queued responses exceed {RESPONSE_BACKLOG_BYTES_MAX MiB}',
      '`deadAfterMs` ({DEAD_AFTER_MS s}, each side',
      'does not come in time ({DRAIN_TIMEOUT_MS s}, configurable)',
      'its maximum of sessions ({SESSIONS_MAX}; those',
      '| host name length, 1 to {HOST_NAME_BYTES_MAX bytes} |',
      '| READ | {IO_BYTES_MAX MiB} |',
      '| WRITE | {IO_BYTES_MAX MiB} |',
      '| DISCARD | {RANGE_BYTES_MAX MiB} |',
      '| WRITE_ZEROES | {RANGE_BYTES_MAX MiB} |',
      '| EXTENTS | {EXTENTS_BYTES_MAX GiB} |',
      '| SYNC_READ | {IO_BYTES_MAX MiB}; with SPARSE {RANGE_BYTES_MAX MiB} |',
      'has a hole of {IO_BYTES_MAX MiB} or more at the start',
      'in steps of {IO_BYTES_MAX MiB}, without',
      'how many members miss this write, at most {MEMBERS_MAX}',
      '(UTF-8, at most {CONTROL_BYTES_MAX MiB})',
      'A page has at most {LEAVES_PER_MESSAGE}',
    ],
    others: [
      /fixed header of 32 bytes/g,
      /handshake, 160 bytes/g,
      /an IO request, 64 bytes/g,
      /Each takes 24 bytes/g,
      /The user header has 8 bytes/g,
      /its 4,032 bytes in base64/g,
    ],
  },
  {
    path: 'docs/on-disk-format.md',
    from: [STORE],
    says: [
      'sectors of {SECTOR_BYTES bytes}',
      '| {JOURNAL_BYTES_SMALL MiB}; {JOURNAL_BYTES_LARGE MiB} from devices of {JOURNAL_LARGE_DEVICE_BYTES GiB} on | journal |',
      'Chunks are powers of two from {CHUNK_BYTES_MIN KiB} to {CHUNK_BYTES_MAX MiB} (default {CHUNK_BYTES_DEFAULT KiB})',
      'dirty maps: {MEMBER_SLOTS} member slots × {MAP_SIDES} sides',
      'Write-intent regions are {INTENT_REGION_BYTES_MIN MiB}. Devices beyond {INTENT_REGION_BYTES_MIN * INTENT_REGION_COUNT_MAX TiB} have larger ones',
      'At most {INTENT_ACTIVE_MAX} are in the set: {INTENT_ACTIVE_MAX * INTENT_REGION_BYTES_MIN GiB} of',
      'at most {RECORD_BYTES_MAX KiB}.',
      'after 10 to {2 * INTENT_IDLE_TICKS * 50 s} without a write',
    ],
    others: [
      /UUIDs are 16 bytes/g,
      /^\| [^|]*\| [^|]*\| (superblock|mark|unused|home|last_io).*$/gm,
      /^\| 1 MiB \| /gm,
      /one page of 4 KiB per 32,256 chunks/g,
      /For\s+1 TiB in chunks of\s+128 KiB a map has 1\.02 MiB, and all metadata before the data area has\s+22 MiB/g,
      /one entry of 32 bytes per IO unit/g,
    ],
  },
  {
    path: 'docs/when-disks-come-back.md',
    from: [KEPT_STORE],
    says: ['tries again every {RETRY_MS_MAX s}', 'The store is opened within {RETRY_MS_MAX s}'],
    others: [],
  },
  {
    path: 'README.md',
    from: [RMR],
    says: [
      'a takeover within {LEASE_END_MS s}',
      'is out within {SLOW_LEG_FOR_MS_DEFAULT s}, unless',
      'before members copy from one another is bounded ({READ_CHECK_BYTES_MAX GiB})',
      'about {RENEW_MS s} after a flush, or {AGE_UNFLUSHED_MS s} of writes without one',
    ],
    others: [/differ by more than 10 % in speed/g, /durably 1 to 2 s later/g],
  },
  {
    path: 'apps/client-node/README.md',
    from: [RMR, NBD],
    says: ['what takes longer than {SHUTDOWN_MS_MAX s} for the requests and {ORDERLY_STOP_MS_MAX s} for the pools'],
    others: [],
  },
  {
    path: 'apps/storage-node/README.md',
    from: [KEPT_STORE],
    says: ['The store is tried again after {RETRY_MS s}, then after growing pauses of up to {RETRY_MS_MAX s}'],
    others: [/`stores\[\]\.ioTimeout` \(20 s;/g, /plus 16 MiB per TiB/g, /for 10 minutes at most, until/g],
  },
  {
    path: 'libs/rtrs/README.md',
    from: [RTRS],
    says: [
      '{QUEUE_DEPTH_MAX} IO and {CONTROL_PERMITS} control permits per session, {PATHS_MAX} paths, {SESSIONS_MAX} sessions and {HANDSHAKES_MAX} unfinished handshakes',
      '{PAYLOAD_BYTES_MAX MiB}\npayloads, {USER_HEADER_BYTES_MAX bytes} of request header, {RESPONSE_HEADER_BYTES_MAX} of response header',
    ],
    others: [/Two 256 KiB buffers per path/g, /^## Measured[\s\S]*/gm],
  },
  {
    path: 'libs/rmr/README.md',
    from: [RMR],
    says: [
      '{MEMBERS_MAX} members; up to {IO_UNITS_MAX} IO units per pool; {IO_BYTES_MAX MiB} per read or write, {RANGE_BYTES_MAX MiB} per discard; one control message is at most {CONTROL_BYTES_MAX MiB}',
    ],
    others: [],
  },
  {
    path: 'libs/brmr/README.md',
    from: ['libs/brmr/src/core/server/volatile-cache-disk.ts', KEPT_STORE],
    says: ['The volatile cache holds {VOLATILE_CACHE_BYTES_MAX MiB}', 'A kept store is tried again every {RETRY_MS_MAX s} at most'],
    others: [],
  },
  {
    path: 'libs/daemon/README.md',
    from: ['libs/daemon/src/admin-server.ts'],
    says: [
      'Bodies up to {BODY_BYTES_MAX KiB}, headers up to {HEADER_BYTES_MAX KiB}, {CONNECTIONS_MAX} connections, {REQUEST_TIMEOUT_MS s} p',
      '{QUIET_CONNECTIONS_MAX} on which nothing is being answered',
    ],
    others: [/A configuration file has at most 1 MiB/g],
  },
  {
    path: 'libs/runtime/README.md',
    from: ['libs/runtime/src/world.ts', 'libs/runtime/src/node/socket-transport.ts'],
    says: ["A unix socket's path has at most {UNIX_PATH_BYTES_MAX bytes}", 'a tick is {TICK_INTERVAL_MS ms}'],
    others: [],
  },
  {
    path: 'docs/configuration.md',
    from: ['libs/runtime/src/node/socket-transport.ts'],
    says: ['`unix:/PATH`, of at most {UNIX_PATH_BYTES_MAX bytes}'],
    // Generated from the schemas.
    others: [/^\| `[^\n]*$/gm],
  },
  {
    path: 'docs/hosts.md',
    from: [RTRS],
    says: ['after `transport.deadAfter` ({DEAD_AFTER_MS s})'],
    others: [/at most 1\.03 MiB per TiB/g, /Measured: 4 s after/g],
  },
  {
    path: 'libs/bitmap-store/README.md',
    from: [STORE],
    says: [
      '2^30 chunks, queue depth {LAST_IO_ENTRIES_MAX}, names and addresses of {NAME_BYTES_MAX bytes}, {ADDRESSES_PER_MEMBER_MAX} addresses per member',
    ],
    others: [/^\| .*$/gm, /one sequential write of 4 KiB/g],
  },
  {
    path: 'libs/testing/README.md',
    from: ['libs/testing/src/memory-network.ts'],
    says: ['through a partition fails after {CONNECT_TIMEOUT_MS s}'],
    others: [],
  },
  {
    path: 'libs/nbd/README.md',
    from: [NBD],
    says: ['each within one {WRITE_PART_BYTES MiB}-aligned MiB'],
    others: [/^Cost, measured[\s\S]*/gm],
  },
  {
    path: 'docs/disks.md',
    from: ['libs/brmr/src/core/disks/disk-types.ts', 'libs/brmr/src/node/disks/catalogued-disk.ts'],
    all: true,
    says: [
      'A node has at most {DISKS_MAX} disks',
      'sectors of more than {SECTOR_BYTES_MAX bytes}',
      'at most every {SMART_AGE_MS minutes}',
      'After {LOOK_MS s} the disk is told',
      '({DEEP_LOOK_MS s} where all metadata',
    ],
    others: [/ISO 9660/g, /nbd:\/\/10\.0\.0\.9:10809/g],
  },
  {
    path: 'docs/glossary.md',
    from: [RTRS],
    all: true,
    says: [],
    others: [/from 1 to 255/g],
  },
  { path: 'ARCHITECTURE.md', from: ['libs/runtime/src/send-queue.ts'], says: ['payloads of up to {COPY_BYTES_MAX KiB}'], others: [] },
];

/** Documents whose numbers are figures that were measured, parameters of measurements, and examples: no constant stands for them. */
export const FIGURES_ALONE = [
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'docs/benchmark.md',
  'docs/nbd-clients.md',
  'docs/simulator-findings.md',
  'apps/web/README.md',
  'libs/admin-api/README.md',
  'libs/dirty-map/README.md',
  'libs/simulation/README.md',
  'scripts/README.md',
  'tools/acceptance/README.md',
  'tools/bench/README.md',
  'tools/chaos/README.md',
  'tools/cluster/README.md',
  'tools/sim/README.md',
];
