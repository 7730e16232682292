import type { MemberRecord, PoolPolicy, VersionRecord } from '../../pool-store.ts';

/** Who has to record a version so that it counts. */
export function majorityOf(members: readonly MemberRecord[]): number {
  return Math.floor(members.length / 2) + 1;
}

/**
 * Whether `recorded` members, data members and witness alike, suffice for a version of this pool. A change of the
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

/** The table with one member changed. */
export function withMember(members: readonly MemberRecord[], changed: MemberRecord): MemberRecord[] {
  return [...members.filter((member) => member.memberId !== changed.memberId), changed].sort((a, b) => a.memberId - b.memberId);
}

/** The ids of members with data that are not in `inSyncIds`: they miss what is written. */
export function missingMembers(members: readonly MemberRecord[], inSyncIds: readonly number[]): number[] {
  return dataMembers(members)
    .map((member) => member.memberId)
    .filter((id) => !inSyncIds.includes(id));
}

/**
 * The table as it is recorded with a version: who is out of its set and was not before has left with it (L3 ◆19), and who is
 * in it has not left.
 */
export function withDepartures(members: readonly MemberRecord[], { epoch, seq, inSync }: VersionRecord): MemberRecord[] {
  return members.map((member) => {
    if (isWitness(member)) return member;
    const { left, ...rest } = member;
    return inSync.some(({ memberId }) => memberId === member.memberId) ? rest : { ...rest, left: left ?? { epoch, seq } };
  });
}

/** The ids of members that have left the set before this one did: what was flushed meanwhile it may have, and they have not. */
export function leftBefore(members: readonly MemberRecord[], memberId: number): number[] {
  const own = members.find((member) => member.memberId === memberId)?.left;
  if (own === undefined) return [];
  const isEarlier = ({ left }: MemberRecord): boolean =>
    left !== undefined && (left.epoch < own.epoch || (left.epoch === own.epoch && left.seq < own.seq));
  return members.filter(isEarlier).map((member) => member.memberId);
}
