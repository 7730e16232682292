import type { MemberRecord, PoolPolicy, VersionRecord } from '../../../pool-store.ts';
import { sameMember } from '../../../version.ts';

/** How many members have to record a version so that it counts. */
export function majorityOf(members: readonly MemberRecord[]): number {
  return Math.floor(members.length / 2) + 1;
}

/**
 * Whether a version counts that the `recorded` members have recorded. Members with data and the witness count alike. A change of the
 * member table or of the policy needs a majority of both the old and the new members.
 */
export function suffices(
  recorded: (member: MemberRecord) => boolean,
  before: { readonly members: readonly MemberRecord[]; readonly policy: PoolPolicy },
  after: { readonly members: readonly MemberRecord[]; readonly policy: PoolPolicy },
): boolean {
  return [before, after].every(({ members, policy }) => policy.quorum === 'none' || members.filter(recorded).length >= majorityOf(members));
}

export function isWitness(member: MemberRecord): boolean {
  return member.role === 'witness';
}

/** The members that have data. */
export function dataMembers(members: readonly MemberRecord[]): readonly MemberRecord[] {
  return members.filter((member) => !isWitness(member));
}

/** The member table with one member changed. */
export function withMember(members: readonly MemberRecord[], changed: MemberRecord): MemberRecord[] {
  return [...members.filter((member) => member.memberId !== changed.memberId), changed].sort((a, b) => a.memberId - b.memberId);
}

/** The ids of the members with data that are not in `inSyncIds`. They miss what is written. */
export function missingMembers(members: readonly MemberRecord[], inSyncIds: readonly number[]): number[] {
  return dataMembers(members)
    .map((member) => member.memberId)
    .filter((id) => !inSyncIds.includes(id));
}

/**
 * The member table as it is recorded with a version. A member that is in the set and was not before has joined with this version (◆14).
 * A member that is out of the set and was not before has left with it (L3 ◆19).
 */
export function datedTable(members: readonly MemberRecord[], { epoch, seq, inSync }: VersionRecord): MemberRecord[] {
  return members.map((member) => {
    if (isWitness(member)) return member;
    const { joined, left, ...rest } = member;
    const isIn = inSync.some(({ memberId }) => memberId === member.memberId);
    return isIn ? { ...rest, joined: joined ?? { epoch, seq } } : { ...rest, left: left ?? { epoch, seq } };
  });
}

/**
 * Whether a member whose newest version is `held` has been in sync from then until `newest`, under one client. `members` is the table of
 * `newest`. If it has, nothing can have become dirty for it that it does not know of (I9), so its own column is true.
 */
export function hasStayed(members: readonly MemberRecord[], memberId: number, held: VersionRecord, newest: VersionRecord): boolean {
  if (held.lineageUuid !== newest.lineageUuid || held.epoch !== newest.epoch) return false;
  const then = held.inSync.find((member) => member.memberId === memberId);
  const now = newest.inSync.find((member) => member.memberId === memberId);
  if (then === undefined || now === undefined || !sameMember(then, now)) return false;
  const joined = members.find((member) => member.memberId === memberId)?.joined;
  return joined !== undefined && (joined.epoch < held.epoch || (joined.epoch === held.epoch && joined.seq <= held.seq));
}

/**
 * L8: the member table of the version that counts, with the newest mark of each store. The other `tables` are those of members that hold
 * the same version and have heard marks since.
 */
export function withSeen(members: readonly MemberRecord[], tables: readonly (readonly MemberRecord[])[]): MemberRecord[] {
  return members.map((member) => {
    let { seen } = member;
    for (const table of tables) {
      const other = table.find(({ memberId, storeUuid }) => memberId === member.memberId && storeUuid === member.storeUuid)?.seen;
      if (other !== undefined && (seen === undefined || other.age > seen.age)) seen = other;
    }
    return seen === member.seen ? member : { ...member, seen };
  });
}

/** The ids of the members that left the set before this one did. This member may have what was flushed in between. They do not have it. */
export function leftBefore(members: readonly MemberRecord[], memberId: number): number[] {
  const own = members.find((member) => member.memberId === memberId)?.left;
  if (own === undefined) return [];
  const isEarlier = ({ left }: MemberRecord): boolean =>
    left !== undefined && (left.epoch < own.epoch || (left.epoch === own.epoch && left.seq < own.seq));
  return members.filter(isEarlier).map((member) => member.memberId);
}
