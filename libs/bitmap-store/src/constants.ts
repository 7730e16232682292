import { assert, GIB, KIB, MIB } from '@rmr/runtime';

/** Format of the store. A newer number is refused: nothing of it can be relied on. */
export const FORMAT_VERSION = 2;
/** Oldest format that can still be opened; opening raises it to {@link FORMAT_VERSION}. */
export const FORMAT_VERSION_OLDEST = 1;

/** What a disk is assumed to write whole or not at all: the sector of every disk made since 1956, and of the page cache's users. */
export const SECTOR_BYTES = 512;
/** Alignment of every metadata write that must not share a page with an earlier acknowledged one. Disks with 4 KiB physical sectors tear at this size. */
export const PAGE_BYTES = 4096;

/** Smallest chunk: a page, below which a dirty bit costs more than what it saves. */
export const CHUNK_BYTES_MIN = 4 * KIB;
/** Largest chunk: what one resync read may reasonably move. */
export const CHUNK_BYTES_MAX = 16 * MIB;
/** Chunk size unless asked otherwise: 1 MiB of bitmap per TiB and member. */
export const CHUNK_BYTES_DEFAULT = 128 * KIB;
/** Chunks of a device: keeps a full map below 129 MiB and chunk numbers in 31 bits (64 TiB at 64 KiB, 128 TiB at 128 KiB). */
export const CHUNK_COUNT_MAX = 2 ** 30;
/** Devices are whole sectors. */
export const DEVICE_BYTES_STEP = SECTOR_BYTES;

/** Members of a pool (protocol: up to 8 legs), and so dirty maps in a store. */
export const MEMBER_SLOTS = 8;
/** Member ids travel as one byte in a write's piggyback list. */
export const MEMBER_ID_MAX = 255;
/** Copies of each dirty map's area: a map that is replaced as a whole is written to the side that is not in use. */
export const MAP_SIDES = 2;

/** Former lineages that a pool remembers: each is a forced start by an operator, of which a pool sees a few in its life. */
export const FORMER_LINEAGES_MAX = 16;

/** Lives that a store remembers. Each is an opening in which it served a client: enough for years of restarts between two looks at a member. */
export const LIVES_MAX = 32;

/** Entries that the `lastIo` array has room for, one for each IO unit of a pool. The format has more room than a pool may use. */
export const LAST_IO_ENTRIES_MAX = 4096;
/** Longest pool, node and client name in UTF-8 bytes (a host name has at most 253). */
export const NAME_BYTES_MAX = 255;
/** Addresses of one member: one per path of a session. */
export const ADDRESSES_PER_MEMBER_MAX = 8;
/** Longest address in UTF-8 bytes: scheme, longest host name or socket path, port. */
export const ADDRESS_BYTES_MAX = 255;

/** Smallest write-intent region: as much as a resync moves in tens of milliseconds, so that finer tracking gains nothing. */
export const INTENT_REGION_BYTES_MIN = 4 * MIB;
/** Regions of a device: bounds the lookup table to 2 MiB; larger devices get larger regions. */
export const INTENT_REGION_COUNT_MAX = 2 ** 20;
/**
 * Regions that may be in the write intent at a time. Up to 16 GiB of working set at the smallest region size costs
 * nothing after its first touch, and after a power loss no more than that is compared: half a minute at 500 MB/s.
 */
export const INTENT_ACTIVE_MAX = 4096;
/** Bytes the data path may cover in one write before it goes to the overflow mark at once instead of emptying the set. */
export const INTENT_REGIONS_PER_WRITE_MAX = INTENT_ACTIVE_MAX / 4;
/** Ticks between two looks for idle regions: 10 s. A region that no write touched for one to two periods leaves. */
export const INTENT_IDLE_TICKS = 200;

/** Bytes of one journal record, and of one home record. Bounds what a parser allocates. */
export const RECORD_BYTES_MAX = 64 * KIB;
/** Smallest journal: four of the largest records, so that a checkpoint always finds room to run beside a commit. */
export const JOURNAL_BYTES_MIN = 4 * RECORD_BYTES_MAX;
/** Journal of devices from {@link JOURNAL_LARGE_DEVICE_BYTES}: a thousand commits between checkpoints. */
export const JOURNAL_BYTES_LARGE = 4 * MIB;
/** Journal of small devices. */
export const JOURNAL_BYTES_SMALL = 1 * MIB;
export const JOURNAL_LARGE_DEVICE_BYTES = 1 * GIB;
/** Largest journal a superblock may claim: it is read as a whole at open. */
export const JOURNAL_BYTES_MAX = 64 * MIB;

/** Dirty ranges of one change beyond which it is written to the spare side of the map instead of the journal. */
export const RANGES_PER_RECORD_MAX = 4096;

/** Alignment of the data area. */
export const DATA_ALIGN_BYTES = MIB;

/** Bytes moved per request while maps are read or written as a whole. */
export const MAP_IO_BYTES = 256 * KIB;
/** Bytes zeroed per request while a store is created. */
export const ZERO_STEP_BYTES = GIB;

assert(CHUNK_BYTES_MIN % PAGE_BYTES === 0, 'constants: chunks are whole pages');
assert(INTENT_ACTIVE_MAX < 0xffff, 'constants: region slots fit 16 bits');
assert(JOURNAL_BYTES_SMALL >= JOURNAL_BYTES_MIN, 'constants: the small journal is legal');
assert(RECORD_BYTES_MAX % PAGE_BYTES === 0, 'constants: records end on pages');
assert(RANGES_PER_RECORD_MAX * 8 <= RECORD_BYTES_MAX / 2, 'constants: a change with that many ranges fits a record');
assert(INTENT_ACTIVE_MAX * 4 <= RECORD_BYTES_MAX / 2, 'constants: the write intent fits the home record');
// A member: head, name, addresses, the version of its last move (16), what was seen of its store (32), the version of `anew` (16).
assert(
  MEMBER_SLOTS * (20 + NAME_BYTES_MAX + ADDRESSES_PER_MEMBER_MAX * (1 + ADDRESS_BYTES_MAX) + 64) + LIVES_MAX * 48 <=
    RECORD_BYTES_MAX / 2 - 4 * KIB,
  'constants: member table and lives fit the home record, beside the write intent and what is small',
);
