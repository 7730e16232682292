import { assert, KIB, MIB } from '@rmr/runtime';

/**
 * The longest payload of a request or reply, announced as the maximum block size. Every client may count on 32 MiB
 * (proto.md, "Block size constraints"), and nothing is gained by more.
 */
export const PAYLOAD_BYTES_MAX = 32 * MIB;

/**
 * A WRITE goes to the device in parts that end at multiples of this offset, each as soon as it has arrived: a 32 MiB
 * write needs no 32 MiB of contiguous memory, and the device starts while the rest is on its way.
 */
export const WRITE_PART_BYTES = MIB;

/** The longest string (proto.md, "Conventions"): export names, descriptions, queries, messages. */
export const STRING_BYTES_MAX = 4096;

/** The longest option data: a name, and more queries and information requests than anybody has. */
export const OPTION_BYTES_MAX = 64 * KIB;

/** Options in one negotiation: two for each of the exports that a client can list, and some. */
export const OPTIONS_MAX = 4096;

/** Exports of one server: a listing stays a few MiB at worst. */
export const EXPORTS_MAX = 1024;

/** Connections of one server. A client that uses several opens 4 to 16. Each holds two slabs, 512 KiB, while idle. */
export const CONNECTIONS_MAX = 256;

/**
 * Connections that have not chosen an export. Honest clients take milliseconds for it. Beyond, the one that has said nothing for the
 * longest time makes way, so that no number of silent ones keeps others out.
 */
export const NEGOTIATIONS_MAX = 32;

/** How often the log says at most that connections made way. */
export const MADE_WAY_LOG_MS = 60_000;

/** A client that has not chosen an export by then is disconnected. People type into interactive clients, so not too short. */
export const HANDSHAKE_MS_MAX = 30_000;

/** How long the last replies may take to leave when a connection ends from our side. */
export const CLOSING_MS_MAX = 5_000;

/** How long a graceful shutdown waits for executing requests. */
export const SHUTDOWN_MS_MAX = 10_000;

/** Requests that one connection can have in flight: twice the kernel client's 128. */
export const IN_FLIGHT_REQUESTS_MAX = 256;

/** Bytes that one connection can have in flight, replies included that its client has not taken: the largest request. */
export const IN_FLIGHT_BYTES_MAX = 32 * MIB;

/** What all connections together can have in flight: the limit of each shrinks so that the sum stays below. With it a daemon stays below 200 MiB. */
export const IN_FLIGHT_BYTES_SERVER_MAX = 64 * MIB;

/** The least that is left to each connection. One request is always let through, however large. */
export const IN_FLIGHT_BYTES_MIN = 2 * MIB;

/** Replies to options that a client may leave unread before its next option is looked at. */
export const HAGGLING_BACKLOG_BYTES_MAX = 256 * KIB;

/** A connection that has to wait still reads this far ahead, so that the end of its client is seen early. */
export const STALLED_READ_AHEAD_BYTES = 64 * KIB;

/**
 * How long it counts that a client was there. After so long nothing that it sent is begun before it is known to be there still: a
 * client that lost its connection has hardly connected again, and been answered, by then.
 */
export const CLIENT_TRUST_MS = 100;

/** A client whose host owes an answer and has not been heard of for so long is gone. Hosts that are silent are asked after half a minute. */
export const CLIENT_SILENT_MS_MAX = 100_000;

/** How often that is looked at; twice in a row decides. */
export const CLIENT_SILENT_CHECK_MS = 5_000;

/** Runs in one reply to BLOCK_STATUS: 32 KiB of descriptors. A client asks on where the reply ends. */
export const EXTENTS_MAX = 4096;

assert(IN_FLIGHT_BYTES_MAX >= PAYLOAD_BYTES_MAX, 'constants: a request of the largest size does not fit the limit of bytes in flight');
assert(PAYLOAD_BYTES_MAX % WRITE_PART_BYTES === 0, 'constants: write parts do not divide the largest payload');
assert(OPTION_BYTES_MAX >= 2 * STRING_BYTES_MAX + 64, 'constants: an option cannot carry a name and a query');
assert(NEGOTIATIONS_MAX < CONNECTIONS_MAX, 'constants: those that negotiate could take all places');
assert(STALLED_READ_AHEAD_BYTES >= 28, 'constants: less than a request header is read ahead');
