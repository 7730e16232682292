import { assert, decodeUuid, encodeUuid, isUuid, readU16, readU32, writeU16, writeU32 } from '@rmr/runtime';
import { FORMER_LINEAGES_MAX, INTENT_ACTIVE_MAX, MAP_SIDES, MEMBER_ID_MAX, MEMBER_SLOTS, NAME_BYTES_MAX } from '../constants.ts';
import type { PoolPolicy, PromiseRecord, VersionRecord } from '../types.ts';
import { type Entry, type EntryLimits, EntryType } from './entry.ts';
import { allZero, decodeText, encodeText, readU64, writeU64 } from './fields.ts';
import { LIVES } from './lives.ts';
import { MEMBERS } from './member-entry.ts';
import { ENTRY_HEADER_BYTES, entryBytes, entryPayloadBytes, entryType } from './record.ts';

/** The kinds of entries, each described once. Of {@link MEMBERS} and {@link LIVES} are files of their own. */

const PROMISE_AT = { EPOCH: 0, CLIENT: 8, NAME_LENGTH: 24, NAME: 26 } as const;

/** Epoch (8), client instance (16), name length (2), name. */
export const PROMISE: Entry<PromiseRecord> = {
  type: EntryType.PROMISE,
  size: ({ clientName }) => PROMISE_AT.NAME + encodeText(clientName).length,
  write: (bytes, at, { epoch, clientInstance, clientName }) => {
    const name = encodeText(clientName);
    writeU64(bytes, at + PROMISE_AT.EPOCH, epoch);
    encodeUuid(clientInstance, bytes, at + PROMISE_AT.CLIENT);
    writeU16(bytes, at + PROMISE_AT.NAME_LENGTH, name.length);
    bytes.set(name, at + PROMISE_AT.NAME);
  },
  read: (bytes, at, size) => ({
    epoch: readU64(bytes, at + PROMISE_AT.EPOCH),
    clientInstance: decodeUuid(bytes, at + PROMISE_AT.CLIENT),
    clientName: decodeText(bytes, at + PROMISE_AT.NAME, size - PROMISE_AT.NAME) ?? '',
  }),
  invalid: (bytes, at, size) => {
    if (size < PROMISE_AT.NAME || size !== PROMISE_AT.NAME + readU16(bytes, at + PROMISE_AT.NAME_LENGTH)) return 'promise: wrong length';
    const nameBytes = size - PROMISE_AT.NAME;
    if (nameBytes > NAME_BYTES_MAX || decodeText(bytes, at + PROMISE_AT.NAME, nameBytes) === null) return 'promise: bad client name';
    return readU64(bytes, at + PROMISE_AT.EPOCH) > 0 ? null : 'promise: epoch out of range';
  },
};

const VERSION_AT = { LINEAGE: 0, EPOCH: 16, SEQ: 24, HORIZON: 32, MEMBER_COUNT: 40, MEMBERS: 48 } as const;
const VERSION_MEMBER_BYTES = 24;
const VERSION_MEMBER_STORE = 8;

/** Lineage (16), epoch (8), seq (8), horizon (8), member count (1), zero (7), then for each member: id (1), zero (7), store UUID (16). */
export const VERSION: Entry<VersionRecord> = {
  type: EntryType.VERSION,
  size: ({ inSync }) => VERSION_AT.MEMBERS + inSync.length * VERSION_MEMBER_BYTES,
  write: (bytes, at, { lineageUuid, epoch, seq, horizon, inSync }) => {
    encodeUuid(lineageUuid, bytes, at + VERSION_AT.LINEAGE);
    writeU64(bytes, at + VERSION_AT.EPOCH, epoch);
    writeU64(bytes, at + VERSION_AT.SEQ, seq);
    writeU64(bytes, at + VERSION_AT.HORIZON, horizon);
    bytes[at + VERSION_AT.MEMBER_COUNT] = inSync.length;
    for (const [i, { memberId, storeUuid }] of inSync.entries()) {
      const member = at + VERSION_AT.MEMBERS + i * VERSION_MEMBER_BYTES;
      bytes[member] = memberId;
      encodeUuid(storeUuid, bytes, member + VERSION_MEMBER_STORE);
    }
  },
  read: (bytes, at, size) => {
    const inSync = [];
    for (let member = at + VERSION_AT.MEMBERS; member < at + size; member += VERSION_MEMBER_BYTES)
      inSync.push({ memberId: bytes[member] as number, storeUuid: decodeUuid(bytes, member + VERSION_MEMBER_STORE) });
    return {
      lineageUuid: decodeUuid(bytes, at + VERSION_AT.LINEAGE),
      epoch: readU64(bytes, at + VERSION_AT.EPOCH),
      seq: readU64(bytes, at + VERSION_AT.SEQ),
      horizon: readU64(bytes, at + VERSION_AT.HORIZON),
      inSync,
    };
  },
  invalid: (bytes, at, size) => {
    const count = bytes[at + VERSION_AT.MEMBER_COUNT] as number;
    if (size < VERSION_AT.MEMBERS || size !== VERSION_AT.MEMBERS + count * VERSION_MEMBER_BYTES) return 'version: wrong length';
    if (count > MEMBER_SLOTS) return 'version: too many members';
    if (!(readU64(bytes, at + VERSION_AT.EPOCH) > 0) || !(readU64(bytes, at + VERSION_AT.SEQ) > 0)) return 'version: number out of range';
    return readU64(bytes, at + VERSION_AT.HORIZON) >= 0 ? null : 'version: horizon out of range';
  },
};

/** The quorum policies, by their number in {@link EntryType.POLICY}. */
const QUORUMS: readonly PoolPolicy['quorum'][] = ['none', 'majority'];

/** The policy of a store in which none was recorded. */
export const POLICY_DEFAULT: PoolPolicy = { quorum: 'none', highestMemberId: 0, formerLineages: [] };

const POLICY_AT = { QUORUM: 0, HIGHEST_ID: 1, LINEAGE_COUNT: 2, RESERVED: 3, LINEAGES: 8 } as const;

/**
 * Quorum: 0 none, 1 majority (1), highest member id (1), number of former lineages (1), zero (5), for each former lineage: UUID (16).
 * Without such an entry: {@link POLICY_DEFAULT}.
 */
export const POLICY: Entry<PoolPolicy> = {
  type: EntryType.POLICY,
  size: ({ formerLineages }) => POLICY_AT.LINEAGES + formerLineages.length * 16,
  write: (bytes, at, { quorum, highestMemberId, formerLineages }) => {
    bytes[at + POLICY_AT.QUORUM] = QUORUMS.indexOf(quorum);
    bytes[at + POLICY_AT.HIGHEST_ID] = highestMemberId;
    bytes[at + POLICY_AT.LINEAGE_COUNT] = formerLineages.length;
    for (const [i, lineageUuid] of formerLineages.entries()) encodeUuid(lineageUuid, bytes, at + POLICY_AT.LINEAGES + i * 16);
  },
  read: (bytes, at, size) => {
    const quorum = QUORUMS[bytes[at + POLICY_AT.QUORUM] as number];
    assert(quorum !== undefined, 'entries: the policy was validated');
    const formerLineages: string[] = [];
    for (let lineage = at + POLICY_AT.LINEAGES; lineage < at + size; lineage += 16) formerLineages.push(decodeUuid(bytes, lineage));
    return { quorum, highestMemberId: bytes[at + POLICY_AT.HIGHEST_ID] as number, formerLineages };
  },
  invalid: (bytes, at, size) => {
    const count = bytes[at + POLICY_AT.LINEAGE_COUNT] as number;
    if (size < POLICY_AT.LINEAGES || size !== POLICY_AT.LINEAGES + count * 16) return 'policy: wrong length';
    if (count > FORMER_LINEAGES_MAX) return 'policy: too many former lineages';
    const isKnown = (bytes[at + POLICY_AT.QUORUM] as number) < QUORUMS.length;
    return isKnown && allZero(bytes, at + POLICY_AT.RESERVED, at + POLICY_AT.LINEAGES) ? null : 'policy: not well formed';
  },
};

/** Flags of {@link USAGE}. */
export const UsageFlag = { VOLATILE_LOST: 1, CLEAN_SHUTDOWN: 2, RELEASED: 4 } as const;
const USAGE_FLAGS_ALL = 7;

/** How the store was last used. */
export interface Usage {
  readonly volatileLost: boolean;
  readonly cleanShutdown: boolean;
  /** The client that had made the store's version has ended in order. */
  readonly released: boolean;
  /** The kernel's boot id under which the store was last open. */
  readonly bootId: string;
  /** How often the store was opened. */
  readonly openCount: number;
}

const USAGE_AT = { FLAGS: 0, RESERVED: 4, BOOT_ID: 8, OPENS: 24 } as const;
const USAGE_BYTES = 32;

/** Flags (4), zero (4), boot id (16), opens (8). */
export const USAGE: Entry<Usage> = {
  type: EntryType.USAGE,
  size: () => USAGE_BYTES,
  write: (bytes, at, { volatileLost, cleanShutdown, released, bootId, openCount }) => {
    const lost = volatileLost ? UsageFlag.VOLATILE_LOST : 0;
    const clean = cleanShutdown ? UsageFlag.CLEAN_SHUTDOWN : 0;
    writeU32(bytes, at + USAGE_AT.FLAGS, lost | clean | (released ? UsageFlag.RELEASED : 0));
    encodeUuid(bootId, bytes, at + USAGE_AT.BOOT_ID);
    writeU64(bytes, at + USAGE_AT.OPENS, openCount);
  },
  read: (bytes, at) => {
    const flags = readU32(bytes, at + USAGE_AT.FLAGS);
    return {
      volatileLost: (flags & UsageFlag.VOLATILE_LOST) !== 0,
      cleanShutdown: (flags & UsageFlag.CLEAN_SHUTDOWN) !== 0,
      released: (flags & UsageFlag.RELEASED) !== 0,
      bootId: decodeUuid(bytes, at + USAGE_AT.BOOT_ID),
      openCount: readU64(bytes, at + USAGE_AT.OPENS),
    };
  },
  invalid: (bytes, at, size) => {
    if (size !== USAGE_BYTES) return 'usage: wrong length';
    if (readU32(bytes, at + USAGE_AT.FLAGS) > USAGE_FLAGS_ALL || readU32(bytes, at + USAGE_AT.RESERVED) !== 0)
      return 'usage: unknown flags';
    return readU64(bytes, at + USAGE_AT.OPENS) >= 0 ? null : 'usage: number out of range';
  },
};

/** For each slot: member id + 1, or 0 for a free slot (2). In memory -1 stands for a free slot. */
export const SLOTS: Entry<Int16Array> = {
  type: EntryType.SLOTS,
  size: () => MEMBER_SLOTS * 2,
  write: (bytes, at, memberIds) => memberIds.forEach((memberId, slot) => void writeU16(bytes, at + slot * 2, memberId + 1)),
  read: (bytes, at) => Int16Array.from({ length: MEMBER_SLOTS }, (_, slot) => readU16(bytes, at + slot * 2) - 1),
  invalid: (bytes, at, size) => {
    if (size !== MEMBER_SLOTS * 2) return 'slots: wrong length';
    for (let slot = 0; slot < MEMBER_SLOTS; slot++) {
      const memberId = readU16(bytes, at + slot * 2) - 1;
      if (memberId > MEMBER_ID_MAX) return 'slots: member id out of range';
      for (let other = 0; other < slot && memberId >= 0; other++) {
        if (readU16(bytes, at + other * 2) - 1 === memberId) return 'slots: a member has two';
      }
    }
    return null;
  },
};

/** For each slot: the side of the map that is in use (1). Home records only. */
export const SIDES: Entry<Uint8Array> = {
  type: EntryType.SIDES,
  size: () => MEMBER_SLOTS,
  write: (bytes, at, sides) => bytes.set(sides, at),
  read: (bytes, at, size) => bytes.slice(at, at + size),
  invalid: (bytes, at, size) => {
    if (size !== MEMBER_SLOTS) return 'sides: wrong length';
    return bytes.subarray(at, at + size).every((side) => side < MAP_SIDES) ? null : 'sides: out of range';
  },
};

const DIRTY_AT = { SLOT_MASK: 0, RANGE_COUNT: 4, RANGES: 8 } as const;
const DIRTY_RANGE_BYTES = 8;
const DIRTY_CHUNK_COUNT = 4;

/** The maps and chunks that become dirty or clean. Ranges are pairs of a first chunk and a number of chunks. */
export interface DirtyRanges {
  readonly slotMask: number;
  readonly ranges: readonly (readonly [firstChunk: number, chunkCount: number])[];
}

/** Slot mask (4), range count (4), then for each range: first chunk (4), chunk count (4). */
export const DIRTY_SET: Entry<DirtyRanges> = {
  type: EntryType.DIRTY_SET,
  size: ({ ranges }) => DIRTY_AT.RANGES + ranges.length * DIRTY_RANGE_BYTES,
  write: (bytes, at, { slotMask, ranges }) => {
    writeU32(bytes, at + DIRTY_AT.SLOT_MASK, slotMask);
    writeU32(bytes, at + DIRTY_AT.RANGE_COUNT, ranges.length);
    for (const [i, [firstChunk, chunkCount]] of ranges.entries()) {
      const range = at + DIRTY_AT.RANGES + i * DIRTY_RANGE_BYTES;
      writeU32(bytes, range, firstChunk);
      writeU32(bytes, range + DIRTY_CHUNK_COUNT, chunkCount);
    }
  },
  read: (bytes, at, size) => {
    const ranges: [number, number][] = [];
    for (let range = at + DIRTY_AT.RANGES; range < at + size; range += DIRTY_RANGE_BYTES)
      ranges.push([readU32(bytes, range), readU32(bytes, range + DIRTY_CHUNK_COUNT)]);
    return { slotMask: readU32(bytes, at + DIRTY_AT.SLOT_MASK), ranges };
  },
  invalid: (bytes, at, size, { grid }) => {
    if (size < DIRTY_AT.RANGES || size !== DIRTY_AT.RANGES + readU32(bytes, at + DIRTY_AT.RANGE_COUNT) * DIRTY_RANGE_BYTES)
      return 'dirty ranges: wrong length';
    if (readU32(bytes, at + DIRTY_AT.SLOT_MASK) >= 2 ** MEMBER_SLOTS) return 'dirty ranges: slot out of range';
    for (let range = at + DIRTY_AT.RANGES; range < at + size; range += DIRTY_RANGE_BYTES)
      if (readU32(bytes, range) + readU32(bytes, range + DIRTY_CHUNK_COUNT) > grid.chunkCount) return 'dirty ranges: chunk out of range';
    return null;
  },
};
/** As {@link DIRTY_SET}. */
export const DIRTY_CLEAR: Entry<DirtyRanges> = { ...DIRTY_SET, type: EntryType.DIRTY_CLEAR };

const SWITCH_AT = { SLOT: 0, SIDE: 1, RESERVED: 2 } as const;
const SWITCH_BYTES = 8;

/** Slot (1), side (1), zero (6): from here on the map is what stands on that side. */
export const MAP_SWITCH: Entry<{ readonly slot: number; readonly side: number }> = {
  type: EntryType.MAP_SWITCH,
  size: () => SWITCH_BYTES,
  write: (bytes, at, { slot, side }) => {
    bytes[at + SWITCH_AT.SLOT] = slot;
    bytes[at + SWITCH_AT.SIDE] = side;
  },
  read: (bytes, at) => ({ slot: bytes[at + SWITCH_AT.SLOT] as number, side: bytes[at + SWITCH_AT.SIDE] as number }),
  invalid: (bytes, at, size) => {
    if (size !== SWITCH_BYTES || !allZero(bytes, at + SWITCH_AT.RESERVED, at + SWITCH_BYTES)) return 'map switch: wrong length';
    const isKnown = (bytes[at + SWITCH_AT.SLOT] as number) < MEMBER_SLOTS && (bytes[at + SWITCH_AT.SIDE] as number) < MAP_SIDES;
    return isKnown ? null : 'map switch: out of range';
  },
};

/** Region numbers (4 each). */
export const INTENT_ENTER: Entry<readonly number[] | Uint32Array> = {
  type: EntryType.INTENT_ENTER,
  size: (regions) => regions.length * 4,
  write: (bytes, at, regions) => regions.forEach((region, i) => void writeU32(bytes, at + i * 4, region)),
  read: (bytes, at, size) => Array.from({ length: size / 4 }, (_, i) => readU32(bytes, at + i * 4)),
  invalid: (bytes, at, size, { regionCount }) => {
    if (size % 4 !== 0 || size > INTENT_ACTIVE_MAX * 4) return 'write intent: wrong length';
    for (let region = at; region < at + size; region += 4)
      if (readU32(bytes, region) >= regionCount) return 'write intent: region out of range';
    return null;
  },
};
/** As {@link INTENT_ENTER}. */
export const INTENT_LEAVE: Entry<readonly number[] | Uint32Array> = { ...INTENT_ENTER, type: EntryType.INTENT_LEAVE };

/** 1 while all regions count as entered, else 0 (4). */
export const INTENT_OVERFLOW: Entry<boolean> = {
  type: EntryType.INTENT_OVERFLOW,
  size: () => 4,
  write: (bytes, at, overflow) => writeU32(bytes, at, overflow ? 1 : 0),
  read: (bytes, at) => readU32(bytes, at) === 1,
  invalid: (bytes, at, size) => (size === 4 && readU32(bytes, at) <= 1 ? null : 'write intent: bad overflow mark'),
};

const ENTRIES: readonly Pick<Entry<never>, 'type' | 'invalid'>[] = [
  ...[PROMISE, VERSION, MEMBERS, USAGE, SLOTS, SIDES, DIRTY_SET, DIRTY_CLEAR],
  ...[MAP_SWITCH, INTENT_ENTER, INTENT_LEAVE, INTENT_OVERFLOW, POLICY, LIVES],
];

/** Why the entries of a valid record, from `from` to `to`, make no sense for this store, or null. */
export function invalidEntries(bytes: Uint8Array, from: number, to: number, limits: EntryLimits): string | null {
  for (let at = from; at < to; at += entryBytes(entryPayloadBytes(bytes, at))) {
    const entry = ENTRIES.find(({ type }) => type === entryType(bytes, at));
    if (entry === undefined) return `entry of unknown type ${entryType(bytes, at)}`;
    const wrong = entry.invalid(bytes, at + ENTRY_HEADER_BYTES, entryPayloadBytes(bytes, at), limits);
    if (wrong !== null) return wrong;
  }
  return null;
}

/** Whether the policy says no more than a store without one does. */
export function isPolicyDefault(policy: PoolPolicy): boolean {
  return policy.quorum === 'none' && policy.highestMemberId === 0 && policy.formerLineages.length === 0;
}

/** Why the policy can't be stored, or null. */
export function invalidPolicy(policy: PoolPolicy): string | null {
  const { quorum, highestMemberId, formerLineages } = policy;
  if (!QUORUMS.includes(quorum)) return `the quorum policy is "${quorum}"; it must be ${QUORUMS.join(' or ')}`;
  if (!Number.isInteger(highestMemberId) || highestMemberId < 0 || highestMemberId > MEMBER_ID_MAX) {
    return `the highest member id ${highestMemberId} is out of range; it must be from 0 to ${MEMBER_ID_MAX}`;
  }
  if (formerLineages.length > FORMER_LINEAGES_MAX) {
    return `there are ${formerLineages.length} former lineages; a pool remembers at most ${FORMER_LINEAGES_MAX}`;
  }
  for (const lineageUuid of formerLineages) if (!isUuid(lineageUuid)) return `the former lineage "${lineageUuid}" is not a UUID`;
  return null;
}
