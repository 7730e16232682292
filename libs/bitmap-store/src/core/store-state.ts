import { DirtyMap } from '@rmr/dirty-map';
import { assert } from '@rmr/runtime';
import { MEMBER_SLOTS } from '../constants.ts';
import {
  DIRTY_CLEAR,
  DIRTY_SET,
  type DirtyRanges,
  INTENT_ENTER,
  INTENT_LEAVE,
  INTENT_OVERFLOW,
  isPolicyDefault,
  MAP_SWITCH,
  POLICY,
  POLICY_DEFAULT,
  PROMISE,
  SIDES,
  SLOTS,
  USAGE,
  type Usage,
  VERSION,
} from '../format/entries.ts';
import { addEntry, EntryType, readEntry } from '../format/entry.ts';
import type { Layout } from '../format/layout.ts';
import { LIVES, type Lives, NO_LIVES } from '../format/lives.ts';
import { CHUNKS_PER_PAGE } from '../format/map-sector.ts';
import { MEMBERS } from '../format/member-entry.ts';
import { entryBytes, entryPayloadBytes, entryType, RECORD_HEADER_BYTES, type RecordWriter, recordLength } from '../format/record.ts';
import type { MemberRecord, PoolPolicy, PromiseRecord, VersionRecord } from '../types.ts';
import { WriteIntent } from './write-intent.ts';

/**
 * Everything durable except superblock and last_io, as of the newest record that was applied. The same code applies a
 * record that has just become durable and one that is replayed at open.
 */
export class StoreState {
  readonly layout: Layout;
  promise: PromiseRecord | null = null;
  version: VersionRecord | null = null;
  members: readonly MemberRecord[] = [];
  policy: PoolPolicy = POLICY_DEFAULT;
  usage: Usage;
  lives: Lives = NO_LIVES;
  /** Member id per slot, -1 = free. */
  readonly slotMembers = new Int16Array(MEMBER_SLOTS).fill(-1);
  /** Side of each slot's map that is in use. */
  readonly sides = new Uint8Array(MEMBER_SLOTS);
  readonly maps: DirtyMap[];
  readonly intent: WriteIntent;
  /** Per slot: pages of the map that may differ from the disk (1 = may differ). */
  readonly changedPages: Uint8Array[];
  changedPageCount = 0;

  constructor(layout: Layout, usage: Usage) {
    this.layout = layout;
    this.usage = usage;
    this.intent = new WriteIntent(layout.sizeBytes, layout.regionBytes);
    this.maps = [];
    this.changedPages = [];
    for (let slot = 0; slot < MEMBER_SLOTS; slot++) {
      this.maps.push(new DirtyMap(layout.grid.chunkCount));
      this.changedPages.push(new Uint8Array(layout.mapPages));
    }
  }

  /** The slot that has the member's map, or -1. */
  slotOf(memberId: number): number {
    return this.slotMembers.indexOf(memberId);
  }

  /** A slot without member, or -1. */
  freeSlot(): number {
    return this.slotMembers.indexOf(-1);
  }

  /** Applies the entries of a valid record. `staged` has a map for every switch in it. */
  applyRecord(bytes: Uint8Array, offset: number, staged: readonly StagedMap[]): void {
    const end = offset + recordLength(bytes, offset);
    for (let at = offset + RECORD_HEADER_BYTES; at < end; at += entryBytes(entryPayloadBytes(bytes, at))) {
      this.#applyEntry(bytes, at, staged);
    }
  }

  #applyEntry(bytes: Uint8Array, at: number, staged: readonly StagedMap[]): void {
    switch (entryType(bytes, at)) {
      case EntryType.PROMISE:
        this.promise = readEntry(bytes, at, PROMISE);
        break;
      case EntryType.VERSION:
        this.version = readEntry(bytes, at, VERSION);
        break;
      case EntryType.MEMBERS:
        this.members = readEntry(bytes, at, MEMBERS);
        break;
      case EntryType.POLICY:
        this.policy = readEntry(bytes, at, POLICY);
        break;
      case EntryType.USAGE:
        this.usage = readEntry(bytes, at, USAGE);
        break;
      case EntryType.LIVES:
        this.lives = readEntry(bytes, at, LIVES);
        break;
      case EntryType.SLOTS:
        this.slotMembers.set(readEntry(bytes, at, SLOTS));
        break;
      case EntryType.SIDES:
        this.sides.set(readEntry(bytes, at, SIDES));
        break;
      case EntryType.DIRTY_SET:
        this.#applyDirty(readEntry(bytes, at, DIRTY_SET), true);
        break;
      case EntryType.DIRTY_CLEAR:
        this.#applyDirty(readEntry(bytes, at, DIRTY_CLEAR), false);
        break;
      case EntryType.MAP_SWITCH: {
        const { slot, side } = readEntry(bytes, at, MAP_SWITCH);
        this.#applySwitch(slot, side, staged);
        break;
      }
      case EntryType.INTENT_ENTER:
        for (const region of readEntry(bytes, at, INTENT_ENTER)) this.intent.applyEnter(region);
        break;
      case EntryType.INTENT_LEAVE:
        for (const region of readEntry(bytes, at, INTENT_LEAVE)) this.intent.applyLeave(region);
        break;
      case EntryType.INTENT_OVERFLOW:
        this.intent.applyOverflow(readEntry(bytes, at, INTENT_OVERFLOW));
        break;
      default:
        assert(false, 'store state: entries were validated');
    }
  }

  #applyDirty({ slotMask, ranges }: DirtyRanges, dirty: boolean): void {
    for (let slot = 0; slot < MEMBER_SLOTS; slot++) {
      if ((slotMask & (1 << slot)) === 0) continue;
      const map = this.maps[slot] as DirtyMap;
      for (const [first, count] of ranges) {
        if (dirty) map.set(first, count);
        else map.clear(first, count);
        // I3, I6: pages count as changed even if no bit changes. A map that was read at open may show a page of the page cache that a
        // failed flush has dropped. A map whose slot was freed since is not read at all. So the disk may differ wherever a record changes it.
        this.#markPages(slot, first, count);
      }
    }
  }

  #applySwitch(slot: number, side: number, staged: readonly StagedMap[]): void {
    const found = staged.find((candidate) => candidate.slot === slot);
    assert(found !== undefined, 'store state: the map of a switch is staged');
    this.maps[slot] = found.map;
    this.sides[slot] = side;
    const pages = this.changedPages[slot] as Uint8Array;
    for (let page = 0; page < pages.length; page++) this.pageWritten(slot, page);
  }

  #markPages(slot: number, first: number, count: number): void {
    const last = Math.floor((first + count - 1) / CHUNKS_PER_PAGE);
    for (let page = Math.floor(first / CHUNKS_PER_PAGE); page <= last; page++) this.pageChanged(slot, page);
  }

  /** The page may differ from the disk. */
  pageChanged(slot: number, page: number): void {
    const pages = this.changedPages[slot] as Uint8Array;
    if (pages[page] === 1) return;
    pages[page] = 1;
    this.changedPageCount++;
  }

  /** The page is being written as it is now. */
  pageWritten(slot: number, page: number): void {
    const pages = this.changedPages[slot] as Uint8Array;
    if (pages[page] === 0) return;
    pages[page] = 0;
    this.changedPageCount--;
  }

  /** Adds everything that the home record holds. */
  addTo(writer: RecordWriter): void {
    if (this.promise !== null) addEntry(writer, PROMISE, this.promise);
    if (this.version !== null) addEntry(writer, VERSION, this.version);
    addEntry(writer, MEMBERS, this.members);
    if (!isPolicyDefault(this.policy)) addEntry(writer, POLICY, this.policy);
    addEntry(writer, USAGE, this.usage);
    if (this.lives.all.length > 0) addEntry(writer, LIVES, this.lives);
    addEntry(writer, SLOTS, this.slotMembers);
    addEntry(writer, SIDES, this.sides);
    const regions = this.intent.activeRegions();
    if (regions.length > 0) addEntry(writer, INTENT_ENTER, regions);
    if (this.intent.overflowActive) addEntry(writer, INTENT_OVERFLOW, true);
  }

  /** Rechecks the invariants. */
  verify(): void {
    let changed = 0;
    for (let slot = 0; slot < MEMBER_SLOTS; slot++) {
      (this.maps[slot] as DirtyMap).verify();
      for (const flag of this.changedPages[slot] as Uint8Array) changed += flag;
      const memberId = this.slotMembers[slot] as number;
      if (memberId < 0) assert((this.maps[slot] as DirtyMap).dirtyCount === 0, 'store state: a free slot has an empty map');
      else assert(this.slotMembers.indexOf(memberId) === slot, 'store state: a member has one slot');
    }
    assert(changed === this.changedPageCount, 'store state: changed pages are counted');
    this.intent.verify();
  }
}

/** A map that a record's MAP_SWITCH entry brings into use. */
export interface StagedMap {
  readonly slot: number;
  readonly map: DirtyMap;
}
