import type { MemberRecord, VersionRecord } from '../../../pool-store.ts';
import { compareVersions, formatVersion, isInSync } from '../../../version.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import type { Leg } from '../legs/leg.ts';
import type { PoolClientState } from '../pool-client-types.ts';
import { describeLineages, heardAtMs, newestLineage } from '../versions/lineage.ts';
import { dataMembers } from '../versions/member-records.ts';

/** What forcing a pool into service would do, by what its members have answered last. */
export interface ForcePlan {
  /** Why the pool can't be forced, or need not be. Null if it can. */
  readonly refusal: string | null;
  /** The members with which the pool would be served. */
  readonly members: readonly ForceMember[];
  readonly leftBehind: readonly ForceMember[];
  /** What would be lost, in whole sentences. Empty with a refusal. */
  readonly sentence: string;
}

/** A member as it is shown to a person that decides whether to leave it behind. */
export interface ForceMember {
  readonly memberId: number;
  readonly name: string;
  /** Its newest version, `3.2{1,2}`. Null if it has none, or did not answer. */
  readonly version: string | null;
  /** When the pool last heard of its store, wall clock, as the store itself has recorded it. Null if that is not known. */
  readonly atMs: number | null;
  /** Bytes that the member itself knows to have missed. Null if that is not known. */
  readonly missingBytes: number | null;
  /** What is wrong with it. Empty if nothing is known. */
  readonly note: string;
}

/** The plan for a pool that is not served. `rolledBack`: members whose stores went back in time, with their answers (L8). */
export function forcePlan(legs: readonly Leg[], rolledBack: ReadonlyMap<Leg, ProbeResult>): ForcePlan {
  const present = legs.filter((leg) => leg.probe?.version != null);
  const old = [...rolledBack].filter(([leg, { version }]) => version !== null && legs.includes(leg));
  // Rolled back members are left behind. Only if all members are rolled back is the pool forced with them.
  const answers = new Map<Leg, ProbeResult>(present.length > 0 ? present.map((leg) => [leg, leg.probe as ProbeResult]) : old);
  if (answers.size === 0) return refusal('no member that has ever been in service can be reached');
  const lineage = newestLineage([...answers.values()]);
  if (lineage === undefined || lineage === null) {
    const lineages = describeLineages([...answers.keys()]);
    return refusal(`the members belong to different lineages: ${lineages}. Stop the storage nodes whose data is to be left behind`);
  }
  const ofLineage = [...answers].filter(([, { version }]) => version?.lineageUuid === lineage);
  const [, informed] = ofLineage.reduce((a, b) =>
    compareVersions(b[1].version as VersionRecord, a[1].version as VersionRecord) > 0 ? b : a,
  );
  const highest = informed.version as VersionRecord;
  const chosen = [...answers].filter(([leg, { identity }]) => isInSync(highest, leg.member.memberId, identity.storeUuid));
  const members = chosen.map(([leg, answer]) => seenFrom(leg, answer));
  const leftBehind = dataMembers(informed.members)
    .filter(({ memberId }) => !members.some((member) => member.memberId === memberId))
    .map((member) => leftMember(member, legs, rolledBack));
  return { refusal: null, members, leftBehind, sentence: sentenceFor(members, leftBehind, present.length === 0) };
}

/** A plan that says why there is nothing to force. */
export function refusal(why: string): ForcePlan {
  return { refusal: why, members: [], leftBehind: [], sentence: '' };
}

/** Why a pool that is not in recovery can't be forced, and what to do about it. `isPaused`: it waits for a majority. */
export function servedRefusal(state: PoolClientState, isPaused: boolean): ForcePlan {
  return refusal(
    isPaused ? 'the pool waits for a majority: restart this client node first, it can be forced then' : `the pool is ${state}`,
  );
}

function leftMember(member: MemberRecord, legs: readonly Leg[], rolledBack: ReadonlyMap<Leg, ProbeResult>): ForceMember {
  const { memberId, name } = member;
  const leg = legs.find((candidate) => candidate.member.memberId === memberId);
  if (leg !== undefined) return seenFrom(leg, leg.probe ?? rolledBack.get(leg) ?? null);
  return { memberId, name, version: null, atMs: null, missingBytes: null, note: 'this node has no leg to it' };
}

function seenFrom(leg: Leg, answer: ProbeResult | null): ForceMember {
  return {
    memberId: leg.member.memberId,
    name: leg.member.name,
    version: answer?.version == null ? null : formatVersion(answer.version),
    atMs: answer === null ? null : heardAtMs(answer),
    missingBytes: answer?.version == null ? null : answer.missedBytes,
    note: leg.problem || (leg.connected ? '' : `it can't be reached: ${leg.session.lostReason}`),
  };
}

function sentenceFor(members: readonly ForceMember[], leftBehind: readonly ForceMember[], onlyOld: boolean): string {
  const names = (list: readonly ForceMember[]): string => list.map(({ memberId, name }) => `member ${memberId} (${name})`).join(' and ');
  const kept = `The pool would be served with the data of ${names(members)}.`;
  const lost =
    leftBehind.length === 0
      ? 'No other member is left behind.'
      : `Writes that only ${names(leftBehind)} got are lost for good: when these members come back, they take over the data of the pool as it is then. Keep them down until the pool is served, as nobody tells them before. A member whose store is gone stays out.`;
  const old = onlyOld ? ' All that answer have stores that went back in time: what was written since those copies were made is lost.' : '';
  return `${kept} ${lost}${old}`;
}
