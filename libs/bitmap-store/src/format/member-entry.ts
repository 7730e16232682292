import { assert, decodeUuid, encodeUuid, isUuid } from '@rmr/runtime';
import { ADDRESS_BYTES_MAX, ADDRESSES_PER_MEMBER_MAX, MEMBER_ID_MAX, MEMBER_SLOTS, NAME_BYTES_MAX } from '../constants.ts';
import type { MemberRecord, SeenMark } from '../types.ts';
import { type Entry, EntryType } from './entry.ts';
import { allZero, decodeText, encodeText, isCount, readU64, writeU64 } from './fields.ts';

const HEADER_BYTES = 8;

const MEMBER_AT = { MEMBER_ID: 0, NAME_LENGTH: 1, ADDRESS_COUNT: 2, FLAGS: 3, STORE_UUID: 4, NAME: 20 } as const;

/**
 * The member table. Member count (1), zero (7). Then for each member: id (1), name length (1), address count (1), flags (1), store UUID
 * (16), name, and for each address its length (1) and text. With {@link MemberFlag}.LEFT or JOINED follow the epoch (8) and seq (8) of the
 * version that it left or came with, with SEEN the life (16), age (8) and time (8) of the mark, with ANEW an epoch (8) and seq (8).
 */
export const MEMBERS: Entry<readonly MemberRecord[]> = {
  type: EntryType.MEMBERS,
  size: (members) => {
    let size = HEADER_BYTES;
    for (const member of members) {
      size += MEMBER_AT.NAME + encodeText(member.name).length;
      if (moveOf(member) !== undefined) size += VERSION_NUMBER_BYTES;
      if (member.seen !== undefined) size += SEEN_BYTES;
      if (member.anew !== undefined) size += VERSION_NUMBER_BYTES;
      for (const address of member.addresses) size += 1 + encodeText(address).length;
    }
    return size;
  },
  write: (bytes, table, members) => {
    bytes[table] = members.length;
    let at = table + HEADER_BYTES;
    for (const member of members) {
      const name = encodeText(member.name);
      bytes[at + MEMBER_AT.MEMBER_ID] = member.memberId;
      bytes[at + MEMBER_AT.NAME_LENGTH] = name.length;
      bytes[at + MEMBER_AT.ADDRESS_COUNT] = member.addresses.length;
      bytes[at + MEMBER_AT.FLAGS] = memberFlags(member);
      encodeUuid(member.storeUuid, bytes, at + MEMBER_AT.STORE_UUID);
      bytes.set(name, at + MEMBER_AT.NAME);
      at += MEMBER_AT.NAME + name.length;
      for (const address of member.addresses) {
        const text = encodeText(address);
        bytes[at] = text.length;
        bytes.set(text, at + 1);
        at += 1 + text.length;
      }
      at = putVersionNumber(bytes, at, moveOf(member));
      if (member.seen !== undefined) {
        encodeUuid(member.seen.lifeUuid, bytes, at);
        writeU64(bytes, at + SEEN_AGE, member.seen.age);
        writeU64(bytes, at + SEEN_AT, member.seen.atMs);
        at += SEEN_BYTES;
      }
      at = putVersionNumber(bytes, at, member.anew);
    }
  },
  read: (bytes, at, size) => {
    const members = readMembers(bytes, at, size);
    assert(members !== null, 'entries: the member table was validated');
    return members;
  },
  invalid: (bytes, at, size) => (readMembers(bytes, at, size) === null ? 'member table: not well formed' : null),
};

/** Flags of a member in {@link MEMBERS}. */
export const MemberFlag = { WITNESS: 1, MAINTENANCE: 2, LEFT: 4, JOINED: 8, SEEN: 16, ANEW: 32 } as const;
const MEMBER_FLAGS_ALL = 63;

/** The epoch and seq of a version. */
type VersionNumber = NonNullable<MemberRecord['left']>;
const VERSION_NUMBER_BYTES = 16;

/** What was seen of a member's store. */
const SEEN_BYTES = 32;
const SEEN_AGE = 16;
const SEEN_AT = 24;

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

/** When the member last went in or out of the set, where that is known. */
function moveOf(member: MemberRecord): MemberRecord['left'] {
  assert(member.left === undefined || member.joined === undefined, 'entries: a member is in the in-sync set and out of it');
  return member.left ?? member.joined;
}

/** Writes the number where there is one. Returns where it ends. */
function putVersionNumber(bytes: Uint8Array, at: number, version: VersionNumber | undefined): number {
  if (version === undefined) return at;
  writeU64(bytes, at, version.epoch);
  writeU64(bytes, at + 8, version.seq);
  return at + VERSION_NUMBER_BYTES;
}

/** The member table in a payload, or null when it is not well formed. */
export function readMembers(bytes: Uint8Array, at: number, payloadBytes: number): readonly MemberRecord[] | null {
  const end = at + payloadBytes;
  if (payloadBytes < HEADER_BYTES) return null;
  const count = bytes[at] as number;
  if (count > MEMBER_SLOTS || !allZero(bytes, at + 1, at + HEADER_BYTES)) return null;
  const members: MemberRecord[] = [];
  let position = at + HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    if (position + MEMBER_AT.NAME > end) return null;
    const memberId = bytes[position] as number;
    const nameBytes = bytes[position + MEMBER_AT.NAME_LENGTH] as number;
    const addressCount = bytes[position + MEMBER_AT.ADDRESS_COUNT] as number;
    const flags = bytes[position + MEMBER_AT.FLAGS] as number;
    if (addressCount > ADDRESSES_PER_MEMBER_MAX || flags > MEMBER_FLAGS_ALL) return null;
    const storeUuid = decodeUuid(bytes, position + MEMBER_AT.STORE_UUID);
    if (position + MEMBER_AT.NAME + nameBytes > end) return null;
    const name = decodeText(bytes, position + MEMBER_AT.NAME, nameBytes);
    if (name === null) return null;
    position += MEMBER_AT.NAME + nameBytes;
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
  const age = readU64(bytes, at + SEEN_AGE);
  const atMs = readU64(bytes, at + SEEN_AT);
  return age >= 1 && atMs >= 0 ? { lifeUuid: decodeUuid(bytes, at), age, atMs } : null;
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
