import { CONTROL_PERMITS } from '@rmr/rtrs';
import { assert, GIB, KIB, MIB } from '@rmr/runtime';

/** Members of a pool, in sync or not. Bounds the masks, the map columns on disk and the piggyback list. */
export const MEMBERS_MAX = 8;

/** IO units of a pool: default and bounds. `ioUnit` has 16 bits; beyond a thousand only memory grows. */
export const QUEUE_DEPTH_DEFAULT = 128;
export const QUEUE_DEPTH_MIN = 1;
export const IO_UNITS_MAX = 1024;

/** Data in one read or write. Larger requests are split: it bounds buffers and the time that an IO holds a range. */
export const IO_BYTES_MAX = 1 * MIB;

/**
 * Range of one discard or write-zeroes. They carry no data, but every region that they touch enters the write intent,
 * and the ranges that wait for them grow with them.
 */
export const RANGE_BYTES_MAX = 64 * MIB;

/** The size of a block that a hole may have, as a power of two: a sector, and what one message carries. */
export const BLOCK_SHIFT_MIN = 9;
export const BLOCK_SHIFT_MAX = 20;

/** Range of one question for extents: it moves no data, and the answer is bounded by its number of runs. */
export const EXTENTS_BYTES_MAX = 1 * GIB;

/** Chunk size: default and bounds. A power of two, fixed at pool creation. */
export const CHUNK_BYTES_DEFAULT = 128 * KIB;
export const CHUNK_BYTES_MIN = 4 * KIB;
export const CHUNK_BYTES_MAX = 16 * MIB;

/** How long a control request may take before its leg is given up: a grant may have to wait for a slow disk to drain. */
export const CONTROL_TIMEOUT_MS = 60_000;

/** When recovery looks again while it waits, besides at every event: first, and at most. It is how the end of another client is noticed. */
export const RECOVERY_RETRY_MS = 500;
export const RECOVERY_RETRY_MS_MAX = 4_000;
/** C4: for how long a storage node tells the client that serves a pool that another one asks for it. Whoever still wants it asks again. */
export const HANDOVER_ASKED_MS = 10_000;
/** How often a client that has just started looks whether its first attempts to reach members have ended. */
export const FIRST_CONTACT_MS = 50;

/**
 * L7: a leg holds up IO if it takes longer for a write or a flush than its peers by this factor, and longer than the minimum. It also
 * holds up IO if it has answered nothing at all for `STALL_MS`, although a peer has answered. What it held up within
 * `SLOW_LEG_FOR_MS_DEFAULT` counts.
 */
export const SLOW_LEG_FACTOR_DEFAULT = 20;
export const SLOW_LEG_FOR_MS_DEFAULT = 30_000;
export const SLOW_LEG_MS_MIN = 50;
export const STALL_MS = 1_000;
/**
 * L7: a leg leaves when all of these hold. It held up IO for more than one `HELD_UP_PART`th of the time in which there was IO, and for
 * more than one `HELD_UP_MIN_PART`th of the time that counts. That has gone on for one `HELD_UP_SINCE_PART`th of that time. And it did
 * so in `HELD_UP_STALLS_MIN` stalls: a single one is for `legTimeout` to judge.
 */
export const HELD_UP_PART = 3;
export const HELD_UP_MIN_PART = 10;
export const HELD_UP_SINCE_PART = 3;
export const HELD_UP_STALLS_MIN = 2;
/** The number of steps in which the time that counts slides. */
export const HELD_UP_BUCKETS = 30;

/**
 * A leg that has to pull what IO needs is excused for this long after it was last seen to get on with that. A map check shows it every
 * second.
 */
export const EXCUSED_MS = 3_000;

/**
 * A leg that has come back after it had left for holding up IO is on probation for `PROBATION_MS`. It leaves again as soon as it has
 * answered nothing for `PROBATION_STALL_MS`. With the time to notice that and to record the version, its return costs clients less than
 * a second.
 */
export const PROBATION_MS = 60_000;
export const PROBATION_STALL_MS = 600;

/** An IO that a leg has not answered for this long makes the leg leave (L7). */
export const LEG_TIMEOUT_MS_DEFAULT = 30_000;

/** Runs of dirty chunks that a version record tells of a member, at most; what lies beyond counts as dirty. */
export const KNOWN_RUNS_MAX = 256;

/** Ranges in one control message: a full `lastIo` and write intent fit. */
export const RANGES_MAX = 16384;

/** Leaves of a dirty map in one control message, and the text of one: about 350 KB at most. */
export const LEAVES_PER_MESSAGE = 64;
export const LEAF_TEXT_MAX = 5600;

/** While IO goes on, maps are copied to a returning member until at most this many leaves differ, in at most this many rounds (L4). */
export const SPREAD_REST_LEAVES = 8;
export const SPREAD_ROUNDS_MAX = 4;

/** How often a client asks its members whether they still serve it. */
export const RENEW_MS = 1_000;

/** Quorum: reads are answered for this long after a majority was asked, if it has answered that it serves this client (I7). */
export const LEASE_MS = 4_000;
/**
 * Quorum: a new client waits this long for the lease of the former one to end. It is longer than the lease, as clocks may differ in
 * speed by 10 %.
 */
export const LEASE_END_MS = 5_000;

/** Lives that a store tells of, at most. */
export const LIVES_MAX = 32;
/**
 * While a client writes, a store becomes older at least this often: after a flush, and without one. That is looked at with every
 * renewal, once a second. A copy that lacks what was written before the newest of these records can be told by that (L8).
 */
export const AGE_FLUSHED_MS = 900;
export const AGE_UNFLUSHED_MS = 5_000;

/** How long an order to create a pool waits for its members. */
export const BIRTH_MS = 30_000;

/** When the return of a member is tried again after a failure: first, and at most. */
export const RETURN_RETRY_MS = 250;
export const RETURN_RETRY_MS_MAX = 30_000;

/** IO that has waited for so long for what only members outside of the set have makes these return without a longer wait (L7). */
export const AWAITED_MS = 500;

/** The return of a member that leaves for its own fault waits twice as long with each fault, up to this unless configured (L7). */
export const RETURN_DELAY_MS_MAX_DEFAULT = 600_000;
/** A session that is lost this soon after the member came back flaps. From the third time in a row on, that is a fault of the member. */
export const FLAP_MS = 60_000;
export const FLAPS_FREE = 2;
/** This time in the set without a fault makes up for one fault. */
export const FAULT_FORGIVEN_MS = 600_000;
/** More faults than this make the return no later; it bounds what has to be forgiven. */
export const FAULTS_MAX = 12;
/**
 * The longest time for which IO is held for a returning member alone that does not answer, unless configured. Then the return is given
 * up (L4).
 */
export const RETURN_HOLD_MS_DEFAULT = 600;
/**
 * A member that was out of space comes back when it has some for what it has missed, but no more than so much is asked for, and a
 * part of its file system beside it (W8). Without that it may come back after such a pause: first, and at most, as it frees space itself by pulling holes.
 */
export const RETURN_SPACE_BYTES = 64 * MIB;
export const SPACE_MARGIN_PART = 64;
export const SPACE_MARGIN_BYTES_MAX = 64 * MIB;
export const SPACE_RETRY_MS = 30_000;
export const SPACE_RETRY_MS_MAX = 600_000;

/** A store is running out of space when less than such a part of its file system is free, but not below the one and not above the other. */
export const LOW_SPACE_PART = 20;
export const LOW_SPACE_BYTES_MIN = 16 * MIB;
export const LOW_SPACE_BYTES_MAX = 4 * GIB;

/** How often the holders of dirty maps ask the members what has become clean; and while IO waits for it. */
export const MAP_CHECK_MS = 1_000;
export const MAP_CHECK_URGENT_MS = 100;
/** Runs of chunks that one answer clears; the rest follows with the next. */
export const CLEARED_RUNS_MAX = 4096;

/** A request that has waited for a dirty chunk for so long is given back to its client, which sends it again. */
export const WAIT_BOUNCE_MS = 5_000;

/** How long a member that is to be added, or has a new store, may take to be reached. */
export const MEMBER_ANSWER_MS = 30_000;

/** How long the orderly end of a client may take: what it has not done by then, the next start makes up for. */
export const ORDERLY_STOP_MS_MAX = 10_000;

/** Lineages that a pool remembers having left behind. */
export const FORMER_LINEAGES_MAX = 16;

/** Resync: pulls in flight, and the bytes of all of them together. */
export const RESYNC_DEPTH_DEFAULT = 32;
export const RESYNC_BYTES_MAX = 8 * MIB;
/** Where the way to the sources is slow, fewer bytes are in flight, so that reads take no longer than this, but never fewer than these. */
export const RESYNC_BYTES_MIN = 256 * KIB;
export const RESYNC_READ_MS = 100;
/**
 * Where sources answer with holes alone, the next pulls ask for so many times more at a time, up to {@link RANGE_BYTES_MAX}
 * and so many chunks: a device that was trimmed is gone through in seconds.
 */
export const RESYNC_HOLE_GROWTH = 4;
export const RESYNC_HOLE_CHUNKS_MAX = 4096;
/** What a pull counts at least against a rate: one of a hole has cost the source and the disk here something, too. */
export const RESYNC_PULL_COST_BYTES = 64 * KIB;
/** Pulls beyond the depth, of chunks that IO waits for. */
export const RESYNC_WANTED_DEPTH = 16;
/** After a pull that failed. */
export const RESYNC_RETRY_MS = 250;
export const RESYNC_RETRY_MS_MAX = 10_000;
/** Client IO within so many milliseconds makes resync keep to its rate under load. */
export const RESYNC_LOAD_MS = 1_000;
/** A chunk that its source could not read is asked for again after so long; and so many are remembered. */
export const RESYNC_UNREADABLE_MS = 10_000;
export const UNREADABLE_CHUNKS_MAX = 1024;
/** W10: a chunk that the own disk failed to take is tried again after so long: at first, and at most; and so many are remembered. */
export const REFUSED_RETRY_MS = 10_000;
export const REFUSED_RETRY_MS_MAX = 120_000;
export const REFUSED_CHUNKS_MAX = 1024;
/** A write that the disk of the last member fails waits this long for another member that is on its way back into the set. */
export const FAILED_WRITE_WAIT_MS = 10_000;
/** W10: after this time a write does not wait any more for a dirty chunk that can't be pulled and that others have. */
export const PASS_BY_MS = 1_000;
/**
 * Before a reconciliation a member reads what others may have to copy from it: so much per question, and in all. A read
 * that fails is tried so often, and none is begun after so long; a client asks for no more after as long.
 */
export const READ_CHECK_BYTES = 64 * MIB;
export const READ_CHECK_BYTES_MAX = 1 * GIB;
export const READ_CHECK_TRIES = 8;
export const READ_CHECK_MS = 10_000;
/** Before a grant a member reads again what its disk could not read, as often as in a read check. None of these reads is begun after so long. */
export const READ_AGAIN_MS = 1_000;
/** Pools of a storage node that pull at a time. One that has had a place for so long makes room for others that wait for one. */
export const RESYNC_POOLS_MAX = 4;
export const RESYNC_TURN_MS = 10_000;
/** A pool that has not asked for so long does not count when the rate is shared. */
export const RESYNC_WANTS_MS = 200;
/** Bytes in flight beside client load: what the rate brings in so many milliseconds, between these two. */
export const RESYNC_LOADED_MS = 16;
export const RESYNC_LOADED_BYTES_MIN = 256 * KIB;
export const RESYNC_LOADED_BYTES_MAX = 2 * MIB;
/**
 * Beside client load one read of resync asks for what the rate brings in so many milliseconds, but for no less than this: whatever
 * clients ask for meanwhile waits until the event loops of both nodes are through with it.
 */
export const RESYNC_LOADED_READ_MS = 0.5;
export const RESYNC_LOADED_READ_BYTES_MIN = 128 * KIB;
/** What a rate brings in so many milliseconds is saved up at most. */
export const RESYNC_SAVED_MS = 250;
/** The same for what is served to others, which goes on with every tick at least. */
export const RESYNC_SERVED_SAVED_MS = 100;
/**
 * Beside client load, what the rate brings in so many milliseconds is saved up at most: so many times the time between two requests of clients,
 * as resync goes on with these, between two bounds. What is saved up begins at once, and clients feel that.
 */
export const RESYNC_SAVED_GAPS = 4;
export const RESYNC_SAVED_MS_MIN = 4;
export const RESYNC_SAVED_MS_MAX = 60;
/**
 * Client load is from so many requests per second on. Beside it resync begins with a rate, finds its own between two others by what
 * clients feel, looked at so often, and rests every few periods, so long after what is in flight had time to end.
 */
export const FEEL_LOAD_PER_SECOND = 50;
export const FEEL_RATE_START = 32 * MIB;
export const FEEL_RATE_MIN = 16 * MIB;
export const FEEL_RATE_MAX = 8 * GIB;
/** What the rate grows by with each look, once clients have felt it; and after so many looks without that it grows as in the beginning. */
export const FEEL_RATE_STEP = 4 * MIB;
export const FEEL_CALM_LOOKS = 16;
export const FEEL_RUN_MS = 250;
export const FEEL_LISTEN_EVERY = 5;
export const FEEL_LISTEN_MS = 100;
export const FEEL_SETTLE_MS = 50;

/** Bytes of one control message's JSON. Ranges of a full `lastIo` and write intent fit many times over. */
export const CONTROL_BYTES_MAX = 1 * MIB;

/** Characters of a user command, and of its answer: names, UUIDs and lists that are paged. As JSON in JSON they stay below the limit above. */
export const COMMAND_TEXT_MAX = 128 * KIB;
/**
 * User commands that a storage node carries out at a time, over all sessions. They use the permits of control requests, of which a session
 * has `CONTROL_PERMITS`: a claim or a renewal must find one although commands take long.
 */
export const COMMANDS_MAX = 8;

/** A session that nobody uses is closed after this time, in milliseconds: a command may follow on a command, and a pool come back. */
export const SESSION_IDLE_MS = 30_000;

assert(COMMANDS_MAX <= CONTROL_PERMITS / 2, 'constants: commands leave permits to control requests');
assert(IO_BYTES_MAX <= RANGE_BYTES_MAX, 'constants: a write is a range');
assert(2 ** BLOCK_SHIFT_MAX <= IO_BYTES_MAX, 'constants: a block fits into a message');
assert(IO_UNITS_MAX <= 0xffff, 'constants: ioUnit has 16 bits');
assert(MEMBERS_MAX <= 8, 'constants: leg masks have 8 bits');
assert(RETURN_RETRY_MS * 2 ** FAULTS_MAX >= RETURN_DELAY_MS_MAX_DEFAULT, 'constants: the return is never as late as it may be');
