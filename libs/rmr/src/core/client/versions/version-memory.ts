import type { InSyncMember, MemberRecord, PoolPolicy, VersionRecord } from '../../../pool-store.ts';
import { compareVersions, sameMember } from '../../../version.ts';

/** What a client that has served the pool remembers of its versions (L5). */
export interface VersionMemory {
  /** Durable on all members of its set. */
  readonly durable: VersionRecord;
  /** Later attempts that may have reached a member (V4), oldest first. */
  readonly attempts: readonly VersionRecord[];
  /** Member table and policy of the durable version: those of an attempt don't count. */
  readonly members: readonly MemberRecord[];
  readonly policy: PoolPolicy;
}

/**
 * L5: whether the client that made these versions may go on with the members that `has` accepts. It may if they include one of its last
 * durable version and one of every later attempt, and no version exists that it did not make.
 */
export function mayGoOn({ durable, attempts }: VersionMemory, highest: VersionRecord, has: (member: InSyncMember) => boolean): boolean {
  const newest = attempts[attempts.length - 1] ?? durable;
  if (highest.lineageUuid !== newest.lineageUuid || compareVersions(highest, newest) > 0) return false;
  const there = durable.inSync.filter(has);
  return there.length > 0 && attempts.every((attempt) => attempt.inSync.some((member) => there.some((other) => sameMember(member, other))));
}
