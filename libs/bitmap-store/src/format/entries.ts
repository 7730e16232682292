import type { ChunkGrid } from '@rmr/dirty-map';
import { assert, decodeUuid, encodeUuid, isUuid, readU16, readU32, writeU16, writeU32 } from '@rmr/runtime';
import {
  ADDRESS_BYTES_MAX,
  ADDRESSES_PER_MEMBER_MAX,
  FORMER_LINEAGES_MAX,
  INTENT_ACTIVE_MAX,
  MAP_SIDES,
  MEMBER_ID_MAX,
  MEMBER_SLOTS,
  NAME_BYTES_MAX,
} from '../constants.ts';
import type { MemberRecord, PoolPolicy, PromiseRecord, SeenMark, VersionRecord } from '../types.ts';
import { encodeLives, type Lives, livesPayloadBytes, readLives } from './lives.ts';
import { ENTRY_HEADER_BYTES, entryBytes, entryPayloadBytes, entryType, type RecordWriter } from './record.ts';
import { decodeText, encodeText } from './text.ts';
import { allZero, readU64, writeU64 } from './u64.ts';

/**
 * The entries of records. Each says what is so from then on, never what changed, so that applying a run of them to
 * any later state ends in the same state (redo).
 */
export const EntryType = {
  /** epoch (8), client instance (16), name length (2), name */
  PROMISE: 1,
  /** lineage (16), epoch (8), seq (8), horizon (8), member count (1), zero (7), then per member: id (1), zero (7), store UUID (16) */
  VERSION: 2,
  /** member count (1), zero (7), then per member: id (1), name length (1), address count (1), flags (1), store UUID (16), name, per address: length (1), text; with {@link MemberFlag}.LEFT or JOINED the epoch (8) and seq (8) of the version that it left or came with; with SEEN the life (16), age (8) and time (8) of the mark; with ANEW an epoch (8) and seq (8) */
  MEMBERS: 3,
  /** flags (4), zero (4), boot id (16), opens (8) */
  USAGE: 4,
  /** per slot: member id + 1, or 0 for a free slot (2) */
  SLOTS: 5,
  /** per slot: the side of the map that is in use (1). Home records only */
  SIDES: 6,
  /** slot mask (4), range count (4), then per range: first chunk (4), chunk count (4) */
  DIRTY_SET: 7,
  DIRTY_CLEAR: 8,
  /** slot (1), side (1), zero (6): from here on the map is what stands on that side */
  MAP_SWITCH: 9,
  /** region numbers (4 each) */
  INTENT_ENTER: 10,
  INTENT_LEAVE: 11,
  /** 1 while all regions count as entered, else 0 (4) */
  INTENT_OVERFLOW: 12,
  /** quorum: 0 none, 1 majority (1), highest member id (1), number of former lineages (1), zero (5), per former lineage: UUID (16). Without such an entry: {@link POLICY_DEFAULT} */
  POLICY: 13,
  /** what `lives.ts` describes */
  LIVES: 14,
} as const;

/** Flags of a member in {@link EntryType.MEMBERS}. */
export const MemberFlag = { WITNESS: 1, MAINTENANCE: 2, LEFT: 4, JOINED: 8, SEEN: 16, ANEW: 32 } as const;
const MEMBER_FLAGS_ALL = 63;

/** The quorum policies, by their number in {@link EntryType.POLICY}. */
const QUORUMS: readonly PoolPolicy['quorum'][] = ['none', 'majority'];

/** The policy of a store in which none was recorded. */
export const POLICY_DEFAULT: PoolPolicy = { quorum: 'none', highestMemberId: 0, formerLineages: [] };

/** Flags of {@link EntryType.USAGE}. */
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

/** What the numbers in entries must stay below. */
export interface EntryLimits {
  readonly grid: Pick<ChunkGrid, 'chunkCount'>;
  readonly regionCount: number;
}

export function addPromise(writer: RecordWriter, promise: PromiseRecord): void {
  const name = encodeText(promise.clientName);
  const at = writer.add(EntryType.PROMISE, 26 + name.length);
  writeU64(writer.bytes, at, promise.epoch);
  encodeUuid(promise.clientInstance, writer.bytes, at + 8);
  writeU16(writer.bytes, at + 24, name.length);
  writer.bytes.set(name, at + 26);
}

export function addVersion(writer: RecordWriter, version: VersionRecord): void {
  const at = writer.add(EntryType.VERSION, 48 + version.inSync.length * 24);
  encodeUuid(version.lineageUuid, writer.bytes, at);
  writeU64(writer.bytes, at + 16, version.epoch);
  writeU64(writer.bytes, at + 24, version.seq);
  writeU64(writer.bytes, at + 32, version.horizon);
  writer.bytes[at + 40] = version.inSync.length;
  for (let i = 0; i < version.inSync.length; i++) {
    const member = version.inSync[i] as VersionRecord['inSync'][number];
    writer.bytes[at + 48 + i * 24] = member.memberId;
    encodeUuid(member.storeUuid, writer.bytes, at + 56 + i * 24);
  }
}

/** Payload bytes of the policy. */
export function policyPayloadBytes(policy: PoolPolicy): number {
  return 8 + policy.formerLineages.length * 16;
}

export function addPolicy(writer: RecordWriter, policy: PoolPolicy): void {
  const at = writer.add(EntryType.POLICY, policyPayloadBytes(policy));
  writer.bytes[at] = QUORUMS.indexOf(policy.quorum);
  writer.bytes[at + 1] = policy.highestMemberId;
  writer.bytes[at + 2] = policy.formerLineages.length;
  for (const [i, lineageUuid] of policy.formerLineages.entries()) encodeUuid(lineageUuid, writer.bytes, at + 8 + i * 16);
}

/** Whether the policy says no more than a store without one does. */
export function isPolicyDefault(policy: PoolPolicy): boolean {
  return policy.quorum === 'none' && policy.highestMemberId === 0 && policy.formerLineages.length === 0;
}

function memberFlags(member: MemberRecord): number {
  return (
    (member.role === 'witness' ? MemberFlag.WITNESS : 0) |
    (member.maintenance === true ? MemberFlag.MAINTENANCE : 0) |
    (member.left === undefined ? 0 : MemberFlag.LEFT) |
    (member.joined === undefined ? 0 : MemberFlag.JOINED) |
    (member.seen === undefined ? 0 : MemberFlag.SEEN) |
    (member.anew === undefined ? 0 : MemberFlag.ANEW)
  );
}

/** Bytes of the epoch and seq of a version. */
const VERSION_NUMBER_BYTES = 16;
/** Bytes of what was seen of a member's store. */
const SEEN_BYTES = 32;

type VersionNumber = NonNullable<MemberRecord['left']>;

/** When the member last went in or out of the set, where that is known. */
function moveOf(member: MemberRecord): MemberRecord['left'] {
  assert(member.left === undefined || member.joined === undefined, 'entries: a member is in the in-sync set and out of it');
  return member.left ?? member.joined;
}

/** Payload bytes of the member table. */
export function membersPayloadBytes(members: readonly MemberRecord[]): number {
  let size = 8;
  for (const member of members) {
    size += 20 + encodeText(member.name).length;
    if (moveOf(member) !== undefined) size += VERSION_NUMBER_BYTES;
    if (member.seen !== undefined) size += SEEN_BYTES;
    if (member.anew !== undefined) size += VERSION_NUMBER_BYTES;
    for (const address of member.addresses) size += 1 + encodeText(address).length;
  }
  return size;
}

export function addMembers(writer: RecordWriter, members: readonly MemberRecord[]): void {
  let at = writer.add(EntryType.MEMBERS, membersPayloadBytes(members));
  writer.bytes[at] = members.length;
  at += 8;
  for (const member of members) {
    const name = encodeText(member.name);
    writer.bytes[at] = member.memberId;
    writer.bytes[at + 1] = name.length;
    writer.bytes[at + 2] = member.addresses.length;
    writer.bytes[at + 3] = memberFlags(member);
    encodeUuid(member.storeUuid, writer.bytes, at + 4);
    writer.bytes.set(name, at + 20);
    at += 20 + name.length;
    for (const address of member.addresses) {
      const text = encodeText(address);
      writer.bytes[at] = text.length;
      writer.bytes.set(text, at + 1);
      at += 1 + text.length;
    }
    at = putVersionNumber(writer, at, moveOf(member));
    if (member.seen !== undefined) {
      encodeUuid(member.seen.lifeUuid, writer.bytes, at);
      writeU64(writer.bytes, at + 16, member.seen.age);
      writeU64(writer.bytes, at + 24, member.seen.atMs);
      at += SEEN_BYTES;
    }
    at = putVersionNumber(writer, at, member.anew);
  }
}

/** Writes the number where there is one. Returns where it ends. */
function putVersionNumber(writer: RecordWriter, at: number, version: VersionNumber | undefined): number {
  if (version === undefined) return at;
  writeU64(writer.bytes, at, version.epoch);
  writeU64(writer.bytes, at + 8, version.seq);
  return at + VERSION_NUMBER_BYTES;
}

export function addUsage(writer: RecordWriter, usage: Usage): void {
  const at = writer.add(EntryType.USAGE, 32);
  const flags =
    (usage.volatileLost ? UsageFlag.VOLATILE_LOST : 0) |
    (usage.cleanShutdown ? UsageFlag.CLEAN_SHUTDOWN : 0) |
    (usage.released ? UsageFlag.RELEASED : 0);
  writeU32(writer.bytes, at, flags);
  encodeUuid(usage.bootId, writer.bytes, at + 8);
  writeU64(writer.bytes, at + 24, usage.openCount);
}

export function addLives(writer: RecordWriter, lives: Lives): void {
  const at = writer.add(EntryType.LIVES, livesPayloadBytes(lives));
  encodeLives(writer.bytes, at, lives);
}

/** `memberIds[slot]` is -1 for a free slot. */
export function addSlots(writer: RecordWriter, memberIds: Int16Array): void {
  const at = writer.add(EntryType.SLOTS, MEMBER_SLOTS * 2);
  for (let slot = 0; slot < MEMBER_SLOTS; slot++) writeU16(writer.bytes, at + slot * 2, (memberIds[slot] as number) + 1);
}

export function addSides(writer: RecordWriter, sides: Uint8Array): void {
  const at = writer.add(EntryType.SIDES, MEMBER_SLOTS);
  writer.bytes.set(sides, at);
}

/** Adds a DIRTY_SET or DIRTY_CLEAR entry for `rangeCount` ranges; fill them in with {@link putRange}. */
export function addDirty(writer: RecordWriter, type: number, slotMask: number, rangeCount: number): number {
  const at = writer.add(type, 8 + rangeCount * 8);
  writeU32(writer.bytes, at, slotMask);
  writeU32(writer.bytes, at + 4, rangeCount);
  return at;
}

export function putRange(writer: RecordWriter, at: number, index: number, firstChunk: number, chunkCount: number): void {
  writeU32(writer.bytes, at + 8 + index * 8, firstChunk);
  writeU32(writer.bytes, at + 12 + index * 8, chunkCount);
}

export function addMapSwitch(writer: RecordWriter, slot: number, side: number): void {
  const at = writer.add(EntryType.MAP_SWITCH, 8);
  writer.bytes[at] = slot;
  writer.bytes[at + 1] = side;
}

/** Adds an entry for one region. */
export function addRegion(writer: RecordWriter, type: number, region: number): void {
  writeU32(writer.bytes, writer.add(type, 4), region);
}

/** Adds an entry for several regions. */
export function addRegions(writer: RecordWriter, type: number, regions: ArrayLike<number>): void {
  const at = writer.add(type, regions.length * 4);
  for (let i = 0; i < regions.length; i++) writeU32(writer.bytes, at + i * 4, regions[i] as number);
}

export function addOverflow(writer: RecordWriter, overflow: boolean): void {
  writeU32(writer.bytes, writer.add(EntryType.INTENT_OVERFLOW, 4), overflow ? 1 : 0);
}

export function readPromise(bytes: Uint8Array, at: number): PromiseRecord {
  return {
    epoch: readU64(bytes, at),
    clientInstance: decodeUuid(bytes, at + 8),
    clientName: decodeText(bytes, at + 26, readU16(bytes, at + 24)) ?? '',
  };
}

export function readVersion(bytes: Uint8Array, at: number): VersionRecord {
  const inSync = [];
  for (let i = 0; i < (bytes[at + 40] as number); i++) {
    inSync.push({ memberId: bytes[at + 48 + i * 24] as number, storeUuid: decodeUuid(bytes, at + 56 + i * 24) });
  }
  return {
    lineageUuid: decodeUuid(bytes, at),
    epoch: readU64(bytes, at + 16),
    seq: readU64(bytes, at + 24),
    horizon: readU64(bytes, at + 32),
    inSync,
  };
}

/** The member table in a payload, or null when it is not well formed. */
export function readMembers(bytes: Uint8Array, at: number, payloadBytes: number): readonly MemberRecord[] | null {
  const end = at + payloadBytes;
  if (payloadBytes < 8) return null;
  const count = bytes[at] as number;
  if (count > MEMBER_SLOTS || !allZero(bytes, at + 1, at + 8)) return null;
  const members: MemberRecord[] = [];
  let position = at + 8;
  for (let i = 0; i < count; i++) {
    if (position + 20 > end) return null;
    const memberId = bytes[position] as number;
    const nameBytes = bytes[position + 1] as number;
    const addressCount = bytes[position + 2] as number;
    const flags = bytes[position + 3] as number;
    if (addressCount > ADDRESSES_PER_MEMBER_MAX || flags > MEMBER_FLAGS_ALL) return null;
    const storeUuid = decodeUuid(bytes, position + 4);
    if (position + 20 + nameBytes > end) return null;
    const name = decodeText(bytes, position + 20, nameBytes);
    if (name === null) return null;
    position += 20 + nameBytes;
    const addresses: string[] = [];
    for (let a = 0; a < addressCount; a++) {
      if (position >= end) return null;
      const length = bytes[position] as number;
      if (position + 1 + length > end) return null;
      const text = decodeText(bytes, position + 1, length);
      if (text === null) return null;
      addresses.push(text);
      position += 1 + length;
    }
    const isMove = flags & (MemberFlag.LEFT | MemberFlag.JOINED);
    if (isMove === (MemberFlag.LEFT | MemberFlag.JOINED)) return null;
    let move: VersionNumber | null = null;
    if (isMove !== 0) {
      move = readVersionNumber(bytes, position, end);
      if (move === null) return null;
      position += VERSION_NUMBER_BYTES;
    }
    let seen: SeenMark | null = null;
    if ((flags & MemberFlag.SEEN) !== 0) {
      seen = readSeen(bytes, position, end);
      if (seen === null) return null;
      position += SEEN_BYTES;
    }
    let anew: VersionNumber | null = null;
    if ((flags & MemberFlag.ANEW) !== 0) {
      anew = readVersionNumber(bytes, position, end);
      if (anew === null) return null;
      position += VERSION_NUMBER_BYTES;
    }
    members.push({
      memberId,
      storeUuid,
      name,
      addresses,
      ...((flags & MemberFlag.WITNESS) === 0 ? {} : { role: 'witness' }),
      ...((flags & MemberFlag.MAINTENANCE) === 0 ? {} : { maintenance: true }),
      ...(move === null ? {} : isMove === MemberFlag.LEFT ? { left: move } : { joined: move }),
      ...(seen === null ? {} : { seen }),
      ...(anew === null ? {} : { anew }),
    });
  }
  return position === end ? members : null;
}

function readVersionNumber(bytes: Uint8Array, at: number, end: number): VersionNumber | null {
  if (at + VERSION_NUMBER_BYTES > end) return null;
  const epoch = readU64(bytes, at);
  const seq = readU64(bytes, at + 8);
  return epoch >= 1 && seq >= 1 ? { epoch, seq } : null;
}

function readSeen(bytes: Uint8Array, at: number, end: number): SeenMark | null {
  if (at + SEEN_BYTES > end) return null;
  const age = readU64(bytes, at + 16);
  const atMs = readU64(bytes, at + 24);
  return age >= 1 && atMs >= 0 ? { lifeUuid: decodeUuid(bytes, at), age, atMs } : null;
}

export function readPolicy(bytes: Uint8Array, at: number): PoolPolicy {
  const quorum = QUORUMS[bytes[at] as number];
  assert(quorum !== undefined, 'entries: the policy was validated');
  const formerLineages: string[] = [];
  for (let i = 0; i < (bytes[at + 2] as number); i++) formerLineages.push(decodeUuid(bytes, at + 8 + i * 16));
  return { quorum, highestMemberId: bytes[at + 1] as number, formerLineages };
}

export function readUsage(bytes: Uint8Array, at: number): Usage {
  const flags = readU32(bytes, at);
  return {
    volatileLost: (flags & UsageFlag.VOLATILE_LOST) !== 0,
    cleanShutdown: (flags & UsageFlag.CLEAN_SHUTDOWN) !== 0,
    released: (flags & UsageFlag.RELEASED) !== 0,
    bootId: decodeUuid(bytes, at + 8),
    openCount: readU64(bytes, at + 24),
  };
}

/** Why the member table can't be stored, or null. */
export function invalidMembers(members: readonly MemberRecord[]): string | null {
  if (members.length > MEMBER_SLOTS) return `there are ${members.length} members; a pool has at most ${MEMBER_SLOTS}`;
  for (const member of members) {
    if (!Number.isInteger(member.memberId) || member.memberId < 0 || member.memberId > MEMBER_ID_MAX) {
      return `member id ${member.memberId} is out of range; it must be from 0 to ${MEMBER_ID_MAX}`;
    }
    if (member.role !== undefined && member.role !== 'data' && member.role !== 'witness') {
      return `member ${member.memberId} has the role "${String(member.role)}"; it must be data or witness`;
    }
    if (!isUuid(member.storeUuid)) return `the store UUID of member ${member.memberId} is not a UUID`;
    if (member.left !== undefined && member.joined !== undefined) {
      return `member ${member.memberId} has left the in-sync set and is in it; one of the two must be absent`;
    }
    for (const version of [member.left, member.joined, member.anew]) {
      if (version !== undefined && !(isCount(version.epoch, 1) && isCount(version.seq, 1))) {
        return `member ${member.memberId} names the version ${version.epoch}.${version.seq}, which is out of range`;
      }
    }
    if (member.seen !== undefined) {
      const { lifeUuid, age, atMs } = member.seen;
      if (!isUuid(lifeUuid)) return `the life that was seen of member ${member.memberId} is not a UUID`;
      if (!isCount(age, 1) || !isCount(atMs, 0)) return `what was seen of member ${member.memberId} has a number that is out of range`;
    }
    if (encodeText(member.name).length > NAME_BYTES_MAX)
      return `the name of member ${member.memberId} is longer than ${NAME_BYTES_MAX} bytes`;
    if (member.addresses.length > ADDRESSES_PER_MEMBER_MAX) {
      return `member ${member.memberId} has ${member.addresses.length} addresses; at most ${ADDRESSES_PER_MEMBER_MAX} are kept`;
    }
    for (const address of member.addresses) {
      if (encodeText(address).length > ADDRESS_BYTES_MAX)
        return `an address of member ${member.memberId} is longer than ${ADDRESS_BYTES_MAX} bytes`;
    }
  }
  return null;
}

/** Whether it is a whole number that can be stored, not below `least`. */
export function isCount(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
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

/** Why the entries of a valid record, from `from` to `to`, make no sense for this store, or null. */
export function invalidEntries(bytes: Uint8Array, from: number, to: number, limits: EntryLimits): string | null {
  for (let at = from; at < to; at += entryBytes(entryPayloadBytes(bytes, at))) {
    const wrong = invalidEntry(bytes, entryType(bytes, at), at + ENTRY_HEADER_BYTES, entryPayloadBytes(bytes, at), limits);
    if (wrong !== null) return wrong;
  }
  return null;
}

function invalidEntry(bytes: Uint8Array, type: number, at: number, size: number, limits: EntryLimits): string | null {
  switch (type) {
    case EntryType.PROMISE: {
      if (size < 26 || size !== 26 + readU16(bytes, at + 24)) return 'promise: wrong length';
      if (size - 26 > NAME_BYTES_MAX || decodeText(bytes, at + 26, size - 26) === null) return 'promise: bad client name';
      return readU64(bytes, at) > 0 ? null : 'promise: epoch out of range';
    }
    case EntryType.VERSION: {
      if (size < 48 || size !== 48 + (bytes[at + 40] as number) * 24) return 'version: wrong length';
      if ((bytes[at + 40] as number) > MEMBER_SLOTS) return 'version: too many members';
      if (!(readU64(bytes, at + 16) > 0) || !(readU64(bytes, at + 24) > 0)) return 'version: number out of range';
      return readU64(bytes, at + 32) >= 0 ? null : 'version: horizon out of range';
    }
    case EntryType.MEMBERS:
      return readMembers(bytes, at, size) === null ? 'member table: not well formed' : null;
    case EntryType.USAGE: {
      if (size !== 32) return 'usage: wrong length';
      if (readU32(bytes, at) > USAGE_FLAGS_ALL || readU32(bytes, at + 4) !== 0) return 'usage: unknown flags';
      return readU64(bytes, at + 24) >= 0 ? null : 'usage: number out of range';
    }
    case EntryType.SLOTS: {
      if (size !== MEMBER_SLOTS * 2) return 'slots: wrong length';
      for (let slot = 0; slot < MEMBER_SLOTS; slot++) {
        const memberId = readU16(bytes, at + slot * 2) - 1;
        if (memberId > MEMBER_ID_MAX) return 'slots: member id out of range';
        for (let other = 0; other < slot && memberId >= 0; other++) {
          if (readU16(bytes, at + other * 2) - 1 === memberId) return 'slots: a member has two';
        }
      }
      return null;
    }
    case EntryType.SIDES: {
      if (size !== MEMBER_SLOTS) return 'sides: wrong length';
      for (let slot = 0; slot < MEMBER_SLOTS; slot++) if ((bytes[at + slot] as number) >= MAP_SIDES) return 'sides: out of range';
      return null;
    }
    case EntryType.DIRTY_SET:
    case EntryType.DIRTY_CLEAR: {
      if (size < 8 || size !== 8 + readU32(bytes, at + 4) * 8) return 'dirty ranges: wrong length';
      if (readU32(bytes, at) >= 2 ** MEMBER_SLOTS) return 'dirty ranges: slot out of range';
      for (let range = at + 8; range < at + size; range += 8) {
        if (readU32(bytes, range) + readU32(bytes, range + 4) > limits.grid.chunkCount) return 'dirty ranges: chunk out of range';
      }
      return null;
    }
    case EntryType.MAP_SWITCH: {
      if (size !== 8 || !allZero(bytes, at + 2, at + 8)) return 'map switch: wrong length';
      return (bytes[at] as number) < MEMBER_SLOTS && (bytes[at + 1] as number) < MAP_SIDES ? null : 'map switch: out of range';
    }
    case EntryType.INTENT_ENTER:
    case EntryType.INTENT_LEAVE: {
      if (size % 4 !== 0 || size > INTENT_ACTIVE_MAX * 4) return 'write intent: wrong length';
      for (let region = at; region < at + size; region += 4) {
        if (readU32(bytes, region) >= limits.regionCount) return 'write intent: region out of range';
      }
      return null;
    }
    case EntryType.INTENT_OVERFLOW:
      return size === 4 && readU32(bytes, at) <= 1 ? null : 'write intent: bad overflow mark';
    case EntryType.POLICY: {
      if (size < 8 || size !== 8 + (bytes[at + 2] as number) * 16) return 'policy: wrong length';
      if ((bytes[at + 2] as number) > FORMER_LINEAGES_MAX) return 'policy: too many former lineages';
      return (bytes[at] as number) < QUORUMS.length && allZero(bytes, at + 3, at + 8) ? null : 'policy: not well formed';
    }
    case EntryType.LIVES:
      return readLives(bytes, at, size) === null ? 'lives: not well formed' : null;
    default:
      return `entry of unknown type ${type}`;
  }
}
