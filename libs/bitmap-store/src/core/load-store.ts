import { DirtyMap } from '@rmr/dirty-map';
import { assert, type Disk, type LogFields, OperationError, Status, statusName } from '@rmr/runtime';
import { FORMAT_VERSION, MAP_IO_BYTES, MEMBER_SLOTS, PAGE_BYTES, RECORD_BYTES_MAX } from '../constants.ts';
import { DOUBT_BYTES, isDoubt } from '../format/doubt.ts';
import { invalidEntries, MAP_SWITCH, type Usage } from '../format/entries.ts';
import { EntryType, readEntry } from '../format/entry.ts';
import {
  computeLayout,
  DOUBT_OFFSET,
  HOME_A_OFFSET,
  HOME_B_OFFSET,
  JOURNAL_OFFSET,
  LAST_IO_OFFSET,
  type Layout,
  mapOffset,
  SUPERBLOCK_A_OFFSET,
  SUPERBLOCK_B_OFFSET,
} from '../format/layout.ts';
import { BITMAP_BYTES_PER_PAGE, decodeMapPage, invalidMapPage, mapPageIsZero } from '../format/map-sector.ts';
import {
  entryBytes,
  entryPayloadBytes,
  entryType,
  hasRecordMagic,
  invalidRecord,
  paddedBytes,
  RECORD_HEADER_BYTES,
  RecordMagic,
  recordLength,
  recordSequence,
  recordTail,
} from '../format/record.ts';
import {
  decodeSuperblock,
  hasSuperblockMagic,
  invalidSuperblock,
  isKnownVersion,
  mapSeed,
  SUPERBLOCK_BYTES,
  type Superblock,
  storeSeed,
  superblockChecksumFits,
  superblockFormatVersion,
} from '../format/superblock.ts';
import { JournalRing } from './journal-ring.ts';
import { LastIoTable } from './last-io-table.ts';
import type { Procedure } from './procedure.ts';
import { type StagedMap, StoreState } from './store-state.ts';

/** Reads a whole store without changing anything on the disk. */
export function* loadStore(disk: Disk, expected: ExpectedStore): Procedure<LoadedStore | OperationError> {
  const superblocks = yield* readSuperblocks(disk, expected);
  if (superblocks instanceof OperationError) return superblocks;
  const { superblock, damaged } = superblocks;
  const layout = computeLayout(superblock);
  const foreign = checkIdentity(disk, expected, superblock, layout);
  if (foreign !== null) return foreign;
  const seed = storeSeed(superblock.storeUuid);
  const warnings: LoadWarning[] = damaged.map((offset) => ({
    event: 'a superblock copy is damaged, or older than the other one, which is used',
    fields: { store: expected.label, offsetBytes: offset },
  }));

  const state = new StoreState(layout, UNUSED);
  const home = yield* readHome(expected, layout, seed, state);
  if (home instanceof OperationError) return home;

  for (let slot = 0; slot < MEMBER_SLOTS; slot++) {
    if (state.slotMembers[slot] === -1) continue;
    const map = yield* readMap(expected, layout, seed, slot, state.sides[slot] as number);
    if (map instanceof OperationError) return map;
    state.maps[slot] = map;
  }

  const journal = yield* replayJournal(expected, layout, seed, state, home.tail);
  if (journal instanceof OperationError) return journal;

  // A life begins with a record: no crash leaves one without it.
  const life = state.lives.all.at(-1);
  if (life !== undefined && life.firstAge >= journal.ring.nextSequence) {
    return damage(expected, `a life begins with journal record ${life.firstAge}, but the journal ends before that`);
  }

  const lastIoBytes = new Uint8Array(layout.lastIoBytes);
  const status = yield { kind: 'read', offsetBytes: LAST_IO_OFFSET, target: lastIoBytes };
  if (status !== Status.OK) return unreadable(expected, 'last_io', LAST_IO_OFFSET, status);
  const lastIo = new LastIoTable(layout, seed);
  const badEntries = lastIo.load(lastIoBytes);
  if (badEntries > 0) {
    warnings.push({
      event: 'last_io has damaged entries; unflushed data counts as lost',
      fields: { store: expected.label, entries: badEntries },
    });
  }
  const doubt = new Uint8Array(DOUBT_BYTES);
  const doubtStatus = yield { kind: 'read', offsetBytes: DOUBT_OFFSET, target: doubt };
  if (doubtStatus !== Status.OK) return unreadable(expected, 'the mark of a failed flush', DOUBT_OFFSET, doubtStatus);
  return {
    superblock,
    layout,
    seed,
    state,
    ring: journal.ring,
    lastIo,
    homeGeneration: home.generation,
    homeIndex: home.index,
    records: [home.record, ...journal.records],
    damagedSuperblocks: damaged,
    lastIoDamaged: badEntries > 0,
    flushFailed: !state.usage.cleanShutdown && isDoubt(doubt, seed, state.usage.openCount),
    warnings,
    lacksMetadataSpace: false,
  };
}

/** What is wrong but does not prevent use; `repair` is a superblock copy to write again. */
export interface LoadWarning {
  readonly event: string;
  readonly fields: LogFields;
}

/** A record with its place on the disk. */
export interface StoredRecord {
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
}

/** A store as read from its disk. */
export interface LoadedStore {
  readonly superblock: Superblock;
  readonly layout: Layout;
  readonly seed: number;
  readonly state: StoreState;
  readonly ring: JournalRing;
  readonly lastIo: LastIoTable;
  /** Generation of the newest home record, and which of the two it is. */
  readonly homeGeneration: number;
  readonly homeIndex: number;
  /** Offsets of superblock copies that must be written again: damaged, or not as new as the other one. */
  readonly damagedSuperblocks: readonly number[];
  /**
   * The home record and journal records that the state was read from, where they lie. A flush that failed makes the kernel
   * drop what it could not write, and the page cache go on to show it: what was read may never reach the disk by itself.
   */
  readonly records: readonly StoredRecord[];
  /** last_io has entries that say nothing: writes may have been forgotten. */
  readonly lastIoDamaged: boolean;
  /** A flush failed in the process that had the store open last, and it could not record that (L6). */
  readonly flushFailed: boolean;
  readonly warnings: readonly LoadWarning[];
  /** Some of its metadata has no space of its own yet, and finds none. */
  readonly lacksMetadataSpace: boolean;
}

/** Which store is expected. */
export interface ExpectedStore {
  /** What the disk is called in messages, for example its path. */
  readonly label: string;
  readonly poolUuid?: string;
  readonly storeUuid?: string;
}

/** What is missing may be away, and not lost: the first thing to do is to look for it. */
const NO_STORE_ADVICE =
  'If a store was here, this is another file or disk, or one that was overwritten: attach the right one, mount its file system, or correct the path. A new store is only for a new member, or to replace this one when its data is lost (client-node replace-store): it never brings data back';

const NIL_UUID = '00000000-0000-0000-0000-000000000000';
const UNUSED: Usage = { volatileLost: false, cleanShutdown: true, released: false, bootId: NIL_UUID, openCount: 0 };

/** Reads both superblocks and decides which one counts. */
export function* readSuperblocks(
  disk: Disk,
  expected: ExpectedStore,
): Procedure<{ superblock: Superblock; damaged: readonly number[] } | OperationError> {
  if (disk.sizeBytes < SUPERBLOCK_BYTES) {
    return new OperationError(
      'STORE_NOT_FORMATTED',
      `${expected.label} ${disk.sizeBytes === 0 ? 'is empty' : `has ${disk.sizeBytes} bytes`}: it holds no store. ${NO_STORE_ADVICE}`,
    );
  }
  const good: Superblock[] = [];
  const damaged: number[] = [];
  const reasons: string[] = [];
  let seen = 0;
  let otherVersion = 0;
  let otherVersions = 0;
  for (const offset of [SUPERBLOCK_A_OFFSET, SUPERBLOCK_B_OFFSET]) {
    if (offset + SUPERBLOCK_BYTES > disk.sizeBytes) {
      damaged.push(offset);
      continue;
    }
    const page = new Uint8Array(SUPERBLOCK_BYTES);
    const status = yield { kind: 'read', offsetBytes: offset, target: page };
    const wrong = status === Status.OK ? invalidSuperblock(page) : `it can't be read (${statusName(status)})`;
    if (wrong === null) {
      good.push(decodeSuperblock(page));
      continue;
    }
    damaged.push(offset);
    if (status === Status.OK && hasSuperblockMagic(page)) {
      seen++;
      if (!isKnownVersion(superblockFormatVersion(page))) {
        otherVersions++;
        otherVersion = superblockFormatVersion(page);
        // A copy that is whole and of another version decides: this program must not touch the store.
        if (superblockChecksumFits(page)) otherVersions = 2;
      }
    }
    if (status !== Status.OK || hasSuperblockMagic(page)) reasons.push(`at offset ${offset}: ${wrong}`);
  }
  if (otherVersions === 2) {
    return new OperationError(
      'STORE_VERSION_UNKNOWN',
      `${expected.label} has store format version ${otherVersion}; this program knows version ${FORMAT_VERSION} and older ones. Use the release that wrote it; the store is whole, so don't create another one in its place`,
    );
  }
  if (good.length === 0) {
    if (seen === 0 && reasons.length === 0) {
      return new OperationError('STORE_NOT_FORMATTED', `${expected.label} holds no store. ${NO_STORE_ADVICE}`);
    }
    return damage(expected, `both superblocks are unusable (${reasons.join('; ')})`);
  }
  let superblock = good[0] as Superblock;
  const other = good[1];
  if (other !== undefined && (other.storeUuid !== superblock.storeUuid || other.sequence !== superblock.sequence)) {
    if (other.sequence === superblock.sequence) return damage(expected, 'the two superblocks belong to different stores');
    if (other.sequence > superblock.sequence) {
      superblock = other;
      damaged.push(SUPERBLOCK_A_OFFSET);
    } else {
      damaged.push(SUPERBLOCK_B_OFFSET);
    }
  }
  return { superblock, damaged };
}

function checkIdentity(disk: Disk, expected: ExpectedStore, superblock: Superblock, layout: Layout): OperationError | null {
  const { label } = expected;
  if (expected.poolUuid !== undefined && expected.poolUuid !== superblock.poolUuid) {
    return new OperationError(
      'STORE_FOREIGN',
      `${label} is member ${superblock.memberId} of pool "${superblock.poolName}" (${superblock.poolUuid}), not of pool ${expected.poolUuid}; correct the path, or attach the disk of that pool, and leave this store as it is: its own pool may need it`,
    );
  }
  if (expected.storeUuid !== undefined && expected.storeUuid !== superblock.storeUuid) {
    return new OperationError(
      'STORE_FOREIGN',
      `${label} is store ${superblock.storeUuid} of pool "${superblock.poolName}", not store ${expected.storeUuid}; correct the path, or attach the disk of that store, and leave this one as it is: its pool may need it`,
    );
  }
  return endsTooEarly(disk, label, layout);
}

/** STORE_TOO_SMALL, or null. */
export function endsTooEarly(disk: Disk, label: string, layout: Layout): OperationError | null {
  if (disk.sizeBytes >= layout.totalBytes) return null;
  return new OperationError(
    'STORE_TOO_SMALL',
    `${label} has ${disk.sizeBytes} bytes; its store needs ${layout.totalBytes}. It has been shortened, or was copied in part. Don't lengthen it: what is missing would read as zeroes, and count as data. If the whole file or device is elsewhere, correct the path; else replace this member's store (client-node replace-store)`,
  );
}

function* readHome(
  expected: ExpectedStore,
  layout: Layout,
  seed: number,
  state: StoreState,
): Procedure<{ generation: number; index: number; tail: number; record: StoredRecord } | OperationError> {
  let best: { bytes: Uint8Array; generation: number; index: number; tail: number } | null = null;
  const reasons: string[] = [];
  for (const [index, offset] of [HOME_A_OFFSET, HOME_B_OFFSET].entries()) {
    const bytes = new Uint8Array(RECORD_BYTES_MAX);
    const status = yield { kind: 'read', offsetBytes: offset, target: bytes };
    const wrong =
      status === Status.OK
        ? (invalidRecord(bytes, 0, RecordMagic.HOME, seed) ?? invalidEntries(bytes, RECORD_HEADER_BYTES, recordLength(bytes, 0), layout))
        : `it can't be read (${statusName(status)})`;
    if (wrong !== null) {
      reasons.push(`at offset ${offset}: ${wrong}`);
      continue;
    }
    const generation = recordSequence(bytes, 0);
    if (best === null || generation > best.generation) best = { bytes, generation, index, tail: recordTail(bytes, 0) };
  }
  if (best === null) return damage(expected, `both copies of the pool metadata are unusable (${reasons.join('; ')})`);
  if (hasSwitch(best.bytes, 0)) return damage(expected, 'the pool metadata has an entry that belongs in the journal');
  state.applyRecord(best.bytes, 0, []);
  const record = {
    offsetBytes: best.index === 0 ? HOME_A_OFFSET : HOME_B_OFFSET,
    bytes: best.bytes.subarray(0, paddedBytes(recordLength(best.bytes, 0))),
  };
  return { generation: best.generation, index: best.index, tail: best.tail, record };
}

/** Reads one side of a slot's map. */
export function* readMap(
  expected: ExpectedStore,
  layout: Layout,
  seed: number,
  slot: number,
  side: number,
): Procedure<DirtyMap | OperationError> {
  const map = new DirtyMap(layout.grid.chunkCount);
  const buffer = new Uint8Array(Math.min(MAP_IO_BYTES, layout.mapBytes));
  const bitmap = new Uint8Array(BITMAP_BYTES_PER_PAGE);
  const areaSeed = mapSeed(seed, slot, side);
  const base = mapOffset(layout, slot, side);
  for (let from = 0; from < layout.mapBytes; from += buffer.length) {
    const length = Math.min(buffer.length, layout.mapBytes - from);
    const status = yield { kind: 'read', offsetBytes: base + from, target: buffer.subarray(0, length) };
    if (status !== Status.OK) return unreadable(expected, `the dirty map in slot ${slot}`, base + from, status);
    for (let at = 0; at < length; at += PAGE_BYTES) {
      if (mapPageIsZero(buffer, at)) continue;
      const page = (from + at) / PAGE_BYTES;
      let wrong = invalidMapPage(buffer, at, page, areaSeed);
      if (wrong === null) {
        decodeMapPage(buffer, at, bitmap);
        wrong = map.loadLeaf(page, bitmap);
      }
      if (wrong !== null) return damage(expected, `the dirty map in slot ${slot}, side ${side}, is unusable: ${wrong}`);
    }
  }
  return map;
}

interface FoundRecord {
  readonly offset: number;
  readonly sequence: number;
  readonly size: number;
}

function* replayJournal(
  expected: ExpectedStore,
  layout: Layout,
  seed: number,
  state: StoreState,
  tail: number,
): Procedure<{ ring: JournalRing; records: readonly StoredRecord[] } | OperationError> {
  const journal = new Uint8Array(layout.journalBytes);
  const status = yield { kind: 'read', offsetBytes: JOURNAL_OFFSET, target: journal };
  if (status !== Status.OK) return unreadable(expected, 'the journal', JOURNAL_OFFSET, status);
  const found: FoundRecord[] = [];
  let tailMax = 0;
  for (let offset = 0; offset < layout.journalBytes; ) {
    if (!hasRecordMagic(journal, offset, RecordMagic.JOURNAL) || invalidRecord(journal, offset, RecordMagic.JOURNAL, seed) !== null) {
      offset += PAGE_BYTES;
      continue;
    }
    const size = paddedBytes(recordLength(journal, offset));
    const sequence = recordSequence(journal, offset);
    if (sequence >= tail) found.push({ offset, sequence, size });
    tailMax = Math.max(tailMax, recordTail(journal, offset));
    offset += size;
  }
  if (tailMax > tail) {
    return damage(expected, 'the newest copy of the pool metadata is lost, and the journal no longer reaches back to the older one');
  }
  found.sort((a, b) => a.sequence - b.sequence);
  const ring = new JournalRing(layout.journalBytes, tail);
  for (const record of found) {
    if (record.sequence !== ring.nextSequence) {
      return damage(expected, `journal record ${ring.nextSequence} is missing although record ${record.sequence} is there`);
    }
    const end = record.offset + recordLength(journal, record.offset);
    const wrong = invalidEntries(journal, record.offset + RECORD_HEADER_BYTES, end, layout);
    if (wrong !== null) return damage(expected, `journal record ${record.sequence}: ${wrong}`);
    const staged: StagedMap[] = [];
    for (let at = record.offset + RECORD_HEADER_BYTES; at < end; at += entryBytes(entryPayloadBytes(journal, at))) {
      if (entryType(journal, at) === EntryType.SIDES)
        return damage(expected, `journal record ${record.sequence} has an entry of the home area`);
      if (entryType(journal, at) !== EntryType.MAP_SWITCH) continue;
      const { slot, side } = readEntry(journal, at, MAP_SWITCH);
      const map = yield* readMap(expected, layout, seed, slot, side);
      if (map instanceof OperationError) return map;
      staged.push({ slot, map });
    }
    state.applyRecord(journal, record.offset, staged);
    ring.append(record.offset, record.size);
  }
  ring.verify();
  const records = found.map(({ offset, size }) => ({
    offsetBytes: JOURNAL_OFFSET + offset,
    bytes: journal.subarray(offset, offset + size),
  }));
  return { ring, records };
}

function hasSwitch(bytes: Uint8Array, offset: number): boolean {
  const end = offset + recordLength(bytes, offset);
  for (let at = offset + RECORD_HEADER_BYTES; at < end; at += entryBytes(entryPayloadBytes(bytes, at))) {
    if (entryType(bytes, at) === EntryType.MAP_SWITCH) return true;
  }
  return false;
}

function damage(expected: ExpectedStore, what: string): OperationError {
  return new OperationError(
    'STORE_DAMAGED',
    `${expected.label} is damaged: ${what}. Keep it as it is, and don't repair it by hand: it may have the only copy of something. If the client node's status shows that the other members have everything, replace this member's store (client-node replace-store): its data is copied from them`,
  );
}

function unreadable(expected: ExpectedStore, what: string, offset: number, status: number): OperationError {
  assert(status !== Status.OK, 'load: the status is an error');
  return new OperationError(
    'IO_ERROR',
    `${expected.label}: ${what} at offset ${offset} can't be read (${statusName(status)}); check the disk and the kernel log`,
  );
}
