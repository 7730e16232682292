import { assert, GIB, KIB, MIB } from '@rmr/runtime';

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
 * Connections that have not chosen an export yet. Honest clients need milliseconds for that. When there are more connections, the one
 * that has been silent for the longest time is closed. So no number of silent ones keeps others out.
 */
export const NEGOTIATIONS_MAX = 32;

/** The least time between two log lines which say that connections made way for others. */
export const MADE_WAY_LOG_MS = 60_000;

/** A client that has not chosen an export by then is disconnected. People type into interactive clients, so not too short. */
export const HANDSHAKE_MS_MAX = 30_000;

/** How long the last replies may take to leave when a connection ends from our side. */
export const CLOSING_MS_MAX = 5_000;

/** How long a graceful shutdown waits for executing requests. */
export const SHUTDOWN_MS_MAX = 10_000;

/** Requests that one connection can have in flight: twice the kernel client's 128. */
export const IN_FLIGHT_REQUESTS_MAX = 256;

/** Bytes that one connection can have in flight: as many as the largest request has. Replies that its client has not taken count too. */
export const IN_FLIGHT_BYTES_MAX = 32 * MIB;

/**
 * Bytes that all connections together can have in flight. The limit of each connection shrinks so that the sum stays below this. With it a
 * daemon stays below 200 MiB of memory.
 */
export const IN_FLIGHT_BYTES_SERVER_MAX = 64 * MIB;

/** The least that is left to each connection. One request is always let through, however large. */
export const IN_FLIGHT_BYTES_MIN = 2 * MIB;

/** Replies to options that a client may leave unread before its next option is looked at. */
export const HAGGLING_BACKLOG_BYTES_MAX = 256 * KIB;

/** A connection that has to wait still reads this far ahead, so that the end of its client is seen early. */
export const STALLED_READ_AHEAD_BYTES = 64 * KIB;

/**
 * For so long after a client was seen, it counts as still there. Later, none of its requests is begun before it is known to be there. The
 * time is short enough: a client that lost its connection can hardly have connected again, and been answered, within it.
 */
export const CLIENT_TRUST_MS = 100;

/** A client is gone when its host owes an answer and has been silent for this long, and so is a server. A silent host is asked after half a minute. */
export const CLIENT_SILENT_MS_MAX = 100_000;

/** The time between two looks at a client's silence. A client is gone when two looks in a row find its host silent for too long. */
export const CLIENT_SILENT_CHECK_MS = 5_000;

/** Runs in one reply to BLOCK_STATUS: 32 KiB of descriptors. A client asks on where the reply ends. */
export const EXTENTS_MAX = 4096;

/** Client: connections to an export whose server says that several are as good as one. Four keep the cores of a server busy. */
export const CLIENT_CONNECTIONS_MAX = 4;

/** Client: requests in flight on a connection. */
export const CLIENT_REQUESTS_MAX = 64;

/** Client: bytes that requests in flight on a connection write or read. One request is always let through. */
export const CLIENT_IN_FLIGHT_BYTES_MAX = 8 * MIB;

/** Client: the longest READ or WRITE. Longer ones are split, so that connections share them. */
export const CLIENT_PAYLOAD_BYTES_MAX = MIB;

/** Client: the longest TRIM or WRITE_ZEROES. Longer ones are split, so that a server that writes zeroes as data answers now and then. */
export const CLIENT_ZEROES_BYTES_MAX = 16 * MIB;

/** Client: the longest BLOCK_STATUS; what is asked beyond is asked next. */
export const CLIENT_STATUS_BYTES_MAX = GIB;

/** Client: a server that has not connected, or not led through the handshake, by then counts as not there, in milliseconds. */
export const CLIENT_HANDSHAKE_MS_MAX = 10_000;

/** Client: the most data in a reply to an option. Texts have {@link STRING_BYTES_MAX} bytes at most, and little stands beside them. */
export const CLIENT_OPTION_REPLY_BYTES_MAX = 16 * KIB;

/** Client: the most replies to one option. A server sends a handful of them. */
export const CLIENT_OPTION_REPLIES_MAX = 64;

/** Client: the most runs that are kept of answers to BLOCK_STATUS. They then cover the first part of the range only. */
export const CLIENT_EXTENTS_MAX = 4096;

/** Client: stretches of one READ that have come and do not adjoin. Servers send them in a few pieces. */
export const CLIENT_READ_STRETCHES_MAX = 1024;

assert(IN_FLIGHT_BYTES_MAX >= PAYLOAD_BYTES_MAX, 'constants: a request of the largest size does not fit the limit of bytes in flight');
assert(PAYLOAD_BYTES_MAX % WRITE_PART_BYTES === 0, 'constants: write parts do not divide the largest payload');
assert(OPTION_BYTES_MAX >= 2 * STRING_BYTES_MAX + 64, 'constants: an option cannot carry a name and a query');
assert(NEGOTIATIONS_MAX < CONNECTIONS_MAX, 'constants: those that negotiate could take all places');
assert(STALLED_READ_AHEAD_BYTES >= 28, 'constants: less than a request header is read ahead');
