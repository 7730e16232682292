import { assert } from '@rmr/runtime';

/** Versions of the wire protocol that this code speaks. */
export const PROTOCOL_VERSION_MIN = 2;
export const PROTOCOL_VERSION_MAX = 2;

/** The user header of a request: room for every RMR message's fixed part and its member lists. */
export const USER_HEADER_BYTES_MAX = 192;
/** The user header of a response. */
export const RESPONSE_HEADER_BYTES_MAX = 64;

/** IO permits of a session. 1,024 IOs of 4 KiB cover 4 MiB: more than the delay × bandwidth of any network this runs on. */
export const QUEUE_DEPTH_MAX = 1024;
/** Permits that only control messages may take, so that they never wait for IO. Eight pools can each have two under way. */
export const CONTROL_PERMITS = 16;
/** Slots of a session at most: the in-flight tables of both sides have this size. */
export const SLOTS_MAX = CONTROL_PERMITS + QUEUE_DEPTH_MAX;

/** The largest payload that can be negotiated. A receiver holds one contiguous buffer of this size per path at most. */
export const PAYLOAD_BYTES_MAX = 32 * 1024 * 1024;
/** The smallest: control messages rely on it. */
export const PAYLOAD_BYTES_MIN = 64 * 1024;

/** Bytes in a host name, as Linux's HOST_NAME_MAX. */
export const HOST_NAME_BYTES_MAX = 64;
/** Bytes of text in a refusal or a close: enough for a sentence, and it fits a user header. */
export const REASON_BYTES_MAX = 160;

/** Paths of one session: two network ports with four sockets each. */
export const PATHS_MAX = 8;
/** Sessions of one server: each holds request slots, and per path 512 KiB of buffers. */
export const SESSIONS_MAX = 256;
/**
 * Connections that have not finished their handshake. Strangers can hold this many buffers of 512 KiB, and no more: a further connection
 * makes the server close the oldest of them.
 */
export const HANDSHAKES_MAX = 32;
/** The longest time from the start of a connect, or from an accept, to the end of the handshake. */
export const HANDSHAKE_TIMEOUT_MS = 5_000;

/** Heartbeat interval, and silence after which a path is dead. */
export const HEARTBEAT_INTERVAL_MS = 1_000;
export const DEAD_AFTER_MS = 5_000;
/** Bounds of what may be configured or claimed by a peer. */
export const HEARTBEAT_INTERVAL_MS_MIN = 50;
export const HEARTBEAT_INTERVAL_MS_MAX = 60_000;

/** A tick that comes later than this shows that our own process did not run. Silence during that time is not the peer's. */
export const STALL_MS_MIN = 500;

/**
 * The shortest and the longest delay before a reconnect. The first delay is short, because most losses are restarts of the peer. IO may wait for
 * the longest delay after a node is back. Attempts at this interval cost next to nothing while a host is dead.
 */
export const RECONNECT_MS_MIN = 100;
export const RECONNECT_MS_MAX = 2_000;

/** How long a server may take to finish what it received on a dead path before the session is given up (I10). */
export const DRAIN_TIMEOUT_MS = 30_000;

/**
 * A server stops reading from a path when its queued responses exceed this. A client that reads its responses gets there only if
 * its permits allow so much. A client that does not read can make the server hold this much, and the responses of requests that execute.
 */
export const RESPONSE_BACKLOG_BYTES_MAX = 8 * 1024 * 1024;

assert(HEARTBEAT_INTERVAL_MS * 2 <= DEAD_AFTER_MS, 'constants: a path would be dead between two heartbeats');
assert(SLOTS_MAX <= 0x10000, 'constants: a slot does not fit its field');
assert(REASON_BYTES_MAX <= USER_HEADER_BYTES_MAX, 'constants: a reason does not fit a user header');
