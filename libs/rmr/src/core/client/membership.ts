import type { MemberRecord, PoolPolicy } from '../../pool-store.ts';

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
