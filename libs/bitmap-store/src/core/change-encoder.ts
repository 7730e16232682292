import { DirtyMap } from '@rmr/dirty-map';
import { assert, isUuid } from '@rmr/runtime';
import { MEMBER_ID_MAX, MEMBER_SLOTS, NAME_BYTES_MAX, RANGES_PER_RECORD_MAX } from '../constants.ts';
import {
  DIRTY_CLEAR,
  DIRTY_SET,
  type DirtyRanges,
  invalidPolicy,
  MAP_SWITCH,
  POLICY,
  PROMISE,
  SLOTS,
  USAGE,
  type Usage,
  VERSION,
} from '../format/entries.ts';
import { addEntry, type Entry } from '../format/entry.ts';
import { encodeText, isCount } from '../format/fields.ts';
import type { Layout } from '../format/layout.ts';
import { LIVES, LIVES_BYTES_MAX, type Lives } from '../format/lives.ts';
import { invalidMembers, MEMBERS } from '../format/member-entry.ts';
import { entryBytes, type RecordWriter } from '../format/record.ts';
import type { ByteRange, DirtyChange, MemberRecord, MetadataChange, PromiseRecord, VersionRecord } from '../types.ts';
import type { StagedMap, StoreState } from './store-state.ts';

/**
 * Which member has which slot, the member table, how the store is used and what its lives are, as it will be once the record under
 * construction is durable.
 */
export class RecordPlan {
  readonly memberIds = new Int16Array(MEMBER_SLOTS);
  /** As it will be by what is in the record so far. */
  readonly #recordedIds = new Int16Array(MEMBER_SLOTS);
  members: readonly MemberRecord[];
  usage: Usage;
  lives: Lives;

  constructor(state: StoreState) {
    this.members = state.members;
    this.usage = state.usage;
    this.lives = state.lives;
    this.begin(state);
  }

  /** Starts from what is durable. */
  begin(state: StoreState): void {
    this.memberIds.set(state.slotMembers);
    this.#recordedIds.set(state.slotMembers);
    this.members = state.members;
    this.usage = state.usage;
    this.lives = state.lives;
  }

  /** The member's slot; a free one is given to it where it has none. -1 when all are taken. */
  slotFor(memberId: number): number {
    const slot = this.memberIds.indexOf(memberId);
    if (slot >= 0) return slot;
    const free = this.memberIds.indexOf(-1);
    if (free >= 0) this.memberIds[free] = memberId;
    return free;
  }

  /**
   * Adds the slots to the record where they are not the recorded ones. I3, I6: each record with a dirty bit compares them. A slot may
   * have been given by a write that is not in this record, as that write found the write intent full.
   */
  recordSlots(writer: RecordWriter): void {
    if (this.memberIds.every((memberId, slot) => memberId === this.#recordedIds[slot])) return;
    addEntry(writer, SLOTS, this.memberIds);
    this.#recordedIds.set(this.memberIds);
  }

  /** Whether the change's members find slots. */
  hasRoomFor(change: MetadataChange): boolean {
    const wanted = new Set<number>(change.dirtyReplace?.map((replacement) => replacement.memberId) ?? []);
    for (const { memberIds } of change.dirtyAdd ?? NO_CHANGES) for (const memberId of memberIds) wanted.add(memberId);
    let free = 0;
    for (const memberId of this.memberIds) {
      if (memberId === -1 || change.dirtyErase?.includes(memberId) === true) free++;
      else wanted.delete(memberId);
    }
    return wanted.size <= free;
  }
}

/** A change as the engine commits it: what callers may ask for, and the store's own bookkeeping. */
export interface StoreChange extends MetadataChange {
  /** The store is opened or closed. */
  readonly usage?: Usage;
  /** The store is opened: another life begins. */
  readonly lives?: Lives;
}

const NO_CHANGES: readonly DirtyChange[] = [];

/** Why a change can't be committed, or null. */
export function invalidChange(layout: Layout, change: MetadataChange): string | null {
  if (change.members !== undefined) {
    const wrong = invalidMembers(change.members);
    if (wrong !== null) return wrong;
  }
  if (change.policy !== undefined) {
    const wrong = invalidPolicy(change.policy);
    if (wrong !== null) return wrong;
  }
  if (change.version !== undefined) {
    const wrong = invalidVersion(change.version);
    if (wrong !== null) return wrong;
  }
  if (change.promise !== undefined) {
    const wrong = invalidPromise(change.promise);
    if (wrong !== null) return wrong;
  }
  for (const memberId of change.dirtyErase ?? []) if (!isMemberId(memberId)) return `member id ${memberId} is out of range`;
  for (const { memberId, map } of change.dirtyReplace ?? []) {
    if (!isMemberId(memberId)) return `member id ${memberId} is out of range`;
    if (map.chunkCount !== layout.grid.chunkCount) return `the map given for member ${memberId} is of another device size or chunk size`;
  }
  for (const clear of change.dirtyClear ?? NO_CHANGES) {
    for (const range of clear.ranges) {
      if (!layout.grid.isWhole(range.offsetBytes, range.lengthBytes)) {
        return 'only whole chunks can become clean';
      }
    }
  }
  return invalidDirty(layout, change.dirtyClear ?? NO_CHANGES) ?? invalidDirty(layout, change.dirtyAdd ?? NO_CHANGES);
}

function invalidVersion(version: VersionRecord): string | null {
  if (!isCount(version.epoch, 1) || !isCount(version.seq, 1) || !isCount(version.horizon, 0))
    return 'a number of the version is out of range';
  if (!isUuid(version.lineageUuid)) return "the version's lineage is not a UUID";
  if (version.inSync.length > MEMBER_SLOTS) return `the in-sync set has more than ${MEMBER_SLOTS} members`;
  for (const { memberId, storeUuid } of version.inSync) {
    if (!isMemberId(memberId) || !isUuid(storeUuid)) return 'a member of the in-sync set is not well formed';
  }
  return null;
}

function invalidPromise(promise: PromiseRecord): string | null {
  if (!isCount(promise.epoch, 1)) return 'the promised epoch is out of range';
  if (!isUuid(promise.clientInstance)) return "the client's instance is not a UUID";
  if (encodeText(promise.clientName).length > NAME_BYTES_MAX) return `the client's name is longer than ${NAME_BYTES_MAX} bytes`;
  return null;
}

function invalidDirty(layout: Layout, changes: readonly DirtyChange[]): string | null {
  for (const change of changes) {
    for (const memberId of change.memberIds) if (!isMemberId(memberId)) return `member id ${memberId} is out of range`;
    for (const { offsetBytes, lengthBytes } of change.ranges) {
      const good = Number.isSafeInteger(offsetBytes) && Number.isSafeInteger(lengthBytes) && offsetBytes >= 0 && lengthBytes >= 0;
      if (!good || offsetBytes + lengthBytes > layout.sizeBytes) return 'a dirty range leaves the device';
    }
  }
  return null;
}

function isMemberId(memberId: number): boolean {
  return Number.isInteger(memberId) && memberId >= 0 && memberId <= MEMBER_ID_MAX;
}

/** Whether the change's maps go to their spare sides instead of the journal. */
export function needsStaging(change: MetadataChange): boolean {
  if (change.dirtyReplace !== undefined && change.dirtyReplace.length > 0) return true;
  let weight = (change.dirtyErase?.length ?? 0) * 2;
  for (const { ranges } of change.dirtyClear ?? NO_CHANGES) weight += 2 + ranges.length;
  for (const { ranges } of change.dirtyAdd ?? NO_CHANGES) weight += 2 + ranges.length;
  return weight > RANGES_PER_RECORD_MAX;
}

/** An upper bound of the bytes the change takes in a record that has come as far as the plan says, its maps being staged or not. */
export function changeBytesMax(change: StoreChange, plan: RecordPlan, staged: boolean): number {
  let bytes = entryBytes(MEMBER_SLOTS * 2) + entryBytes(32);
  if (change.promise !== undefined) bytes += entryBytes(PROMISE.size(change.promise));
  if (change.version !== undefined) bytes += entryBytes(VERSION.size(change.version));
  const members = membersAfter(plan.members, change);
  if (members !== null) bytes += entryBytes(MEMBERS.size(members));
  if (change.policy !== undefined) bytes += entryBytes(POLICY.size(change.policy));
  if (change.promise !== undefined || change.lives !== undefined) bytes += entryBytes(LIVES_BYTES_MAX);
  if (staged) return bytes + MEMBER_SLOTS * entryBytes(8);
  bytes += (change.dirtyErase?.length ?? 0) * entryBytes(16);
  for (const { ranges } of change.dirtyClear ?? NO_CHANGES) bytes += entryBytes(8 + ranges.length * 8);
  for (const { ranges } of change.dirtyAdd ?? NO_CHANGES) bytes += entryBytes(8 + ranges.length * 8);
  return bytes;
}

/**
 * Adds a change to a record whose `RecordPlan` has room for it. `staged` has the maps that were written to their
 * spare sides; null = dirty ranges go into the record.
 */
export function encodeChange(
  writer: RecordWriter,
  state: StoreState,
  plan: RecordPlan,
  change: StoreChange,
  staged: readonly StagedMap[] | null,
): void {
  if (change.promise !== undefined) addEntry(writer, PROMISE, change.promise);
  if (change.version !== undefined) addEntry(writer, VERSION, change.version);
  const members = membersAfter(plan.members, change);
  if (members !== null) {
    plan.members = members;
    addEntry(writer, MEMBERS, members);
  }
  if (change.policy !== undefined) addEntry(writer, POLICY, change.policy);
  if (staged === null) {
    for (const memberId of change.dirtyErase ?? []) {
      const slot = plan.memberIds.indexOf(memberId);
      if (slot < 0) continue;
      addEntry(writer, DIRTY_CLEAR, { slotMask: 1 << slot, ranges: [[0, state.layout.grid.chunkCount]] });
      plan.memberIds[slot] = -1;
    }
    for (const clear of change.dirtyClear ?? NO_CHANGES) addRanges(writer, state.layout, plan, DIRTY_CLEAR, clear);
    for (const add of change.dirtyAdd ?? NO_CHANGES) addRanges(writer, state.layout, plan, DIRTY_SET, add);
  } else {
    planStaged(plan, change);
    for (const { slot } of staged) addEntry(writer, MAP_SWITCH, { slot, side: 1 - (state.sides[slot] as number) });
  }
  plan.recordSlots(writer);
  const lives = livesAfter(plan.lives, change);
  if (lives !== null) {
    plan.lives = lives;
    addEntry(writer, LIVES, lives);
  }
  const usage = usageAfter(plan.usage, change);
  if (usage === null) return;
  plan.usage = usage;
  addEntry(writer, USAGE, usage);
}

/** The member table as the change leaves it; null: the change has none. */
function membersAfter(members: readonly MemberRecord[], change: MetadataChange): readonly MemberRecord[] | null {
  const given = change.members ?? members;
  const changed = change.changeMembers?.(given) ?? given;
  if (change.members === undefined && changed === members) return null;
  // What its caller took from a peer was checked by the caller: a store that can't be read any more is found out here.
  assert(invalidMembers(changed) === null, 'store: the changed member table is well formed');
  return changed;
}

/** Gives slots to the members of a staged change, and takes those of erased ones. */
function planStaged(plan: RecordPlan, change: MetadataChange): void {
  for (const memberId of change.dirtyErase ?? []) {
    const slot = plan.memberIds.indexOf(memberId);
    if (slot >= 0) plan.memberIds[slot] = -1;
  }
  for (const { memberId } of change.dirtyReplace ?? []) plan.slotFor(memberId);
  for (const { memberIds } of change.dirtyAdd ?? NO_CHANGES) for (const memberId of memberIds) plan.slotFor(memberId);
}

/** The maps as the change leaves them, for every slot that it touches. */
export function stageMaps(state: StoreState, plan: RecordPlan, change: MetadataChange): readonly StagedMap[] {
  const maps = new Map<number, DirtyMap>();
  for (const memberId of change.dirtyErase ?? []) {
    const slot = plan.memberIds.indexOf(memberId);
    if (slot >= 0) maps.set(slot, new DirtyMap(state.layout.grid.chunkCount));
  }
  planStaged(plan, change);
  for (const { memberId, map } of change.dirtyReplace ?? []) maps.set(plan.slotFor(memberId), map);
  for (const [changes, dirty] of [
    [change.dirtyClear ?? NO_CHANGES, false],
    [change.dirtyAdd ?? NO_CHANGES, true],
  ] as const) {
    for (const { memberIds, ranges } of changes) {
      for (const memberId of memberIds) {
        const slot = plan.memberIds.indexOf(memberId);
        if (slot < 0) continue;
        const map = maps.get(slot) ?? (state.maps[slot] as DirtyMap).clone();
        maps.set(slot, map);
        for (const range of ranges) {
          const first = state.layout.grid.firstOf(range.offsetBytes);
          const count = chunkCountOf(state.layout, range);
          if (count === 0) continue;
          if (dirty) map.set(first, count);
          else map.clear(first, count);
        }
      }
    }
  }
  return [...maps].map(([slot, map]) => ({ slot, map }));
}

function addRanges(writer: RecordWriter, layout: Layout, plan: RecordPlan, entry: Entry<DirtyRanges>, change: DirtyChange): void {
  let slotMask = 0;
  for (const memberId of change.memberIds) {
    // A member without slot has an empty map: there is nothing to clear.
    const slot = entry === DIRTY_SET ? plan.slotFor(memberId) : plan.memberIds.indexOf(memberId);
    if (slot >= 0) slotMask |= 1 << slot;
    else assert(entry === DIRTY_CLEAR, 'change: the slots were counted');
  }
  if (slotMask === 0 || change.ranges.length === 0) return;
  const ranges = change.ranges.map((range) => [layout.grid.firstOf(range.offsetBytes), chunkCountOf(layout, range)] as const);
  addEntry(writer, entry, { slotMask, ranges });
}

/** What the change makes of the usage, or null when it leaves it. */
function usageAfter(usage: Usage, change: StoreChange): Usage | null {
  if (change.usage !== undefined) return change.usage;
  const volatileLost = change.volatileLost ?? (change.reconciled === true ? false : usage.volatileLost);
  // The flag is about the version. The next version is of another client, or of one that has not ended.
  const released = change.version === undefined && (usage.released || change.released === true);
  const same = volatileLost === usage.volatileLost && released === usage.released;
  // A change that only ages the store says again what is so already: there is no smaller record.
  return same && change.ages !== true ? null : { ...usage, volatileLost, released };
}

/** What the change makes of the lives, or null when it leaves them. */
function livesAfter(lives: Lives, change: StoreChange): Lives | null {
  if (change.lives !== undefined) return change.lives;
  // A client that is promised something has been told of this life, or is about to be.
  return change.promise === undefined || lives.told || lives.all.length === 0 ? null : { ...lives, told: true };
}

/** The number of chunks that a range touches, which may be empty. */
function chunkCountOf({ grid }: Layout, { offsetBytes, lengthBytes }: ByteRange): number {
  return lengthBytes === 0 ? 0 : grid.countOf(offsetBytes, lengthBytes);
}
