import type { InSyncMember, MemberRecord, PoolPolicy, VersionRecord } from '../../../pool-store.ts';
import { formatVersion, sameMember, sameVersion } from '../../../version.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import type { Leg } from '../legs/leg.ts';
import type { Wanted } from '../pool-client-types.ts';
import { remedyFor, remedyForUnfit, stopOther } from '../status/remedies.ts';
import { majorityOf } from '../versions/member-records.ts';
import { mayGoOn, type VersionMemory } from '../versions/versions.ts';
import { storeOf } from './first-version.ts';

/** What the assemble rule is applied to. */
export interface AssemblyView {
  /** All legs that are not being removed, without the witness. Those that are fit to take part have a probe. */
  readonly legs: readonly Leg[];
  readonly witness: Leg | null;
  /** The `legs` that have a version of the lineage that counts. */
  readonly holders: readonly Leg[];
  /** The highest version, and what was recorded with it. */
  readonly highest: VersionRecord;
  readonly members: readonly MemberRecord[];
  readonly quorum: PoolPolicy['quorum'];
  /** What this client remembers of serving the pool. Null if it has not served it. */
  readonly memory: VersionMemory | null;
  /** Whether a client that has served the pool still waits for all members of its last version. */
  readonly inGrace: boolean;
  /** L8: members whose stores went back in time, with their answers. Their legs have no probe. */
  readonly rolledBack: ReadonlyMap<Leg, ProbeResult>;
}

/** The legs to serve a pool with. */
export interface Chosen {
  readonly legs: readonly Leg[];
  /** L8: members of the highest version's set that are not needed. Their stores went back in time, and a released member excuses them. */
  readonly excused: readonly InSyncMember[];
}

/**
 * The assemble rule. Returns the legs to serve the pool with, or says which members are missing. Every member of the highest version's
 * in-sync set is needed, because any later version would be recorded on one of them.
 *
 * A member whose store went back in time is missing, too, like one that is away: a later version may have been recorded on that store
 * alone. It is not missing if another member of the set was released. Then the client ended in order, and every client after it would
 * have needed the released member, too.
 */
export function chooseLegs(view: AssemblyView): Chosen | Wanted {
  const { legs, highest, quorum, memory, inGrace } = view;
  const needed: Leg[] = [];
  const missing: string[] = [];
  for (const member of highest.inSync) {
    const leg = legs.find((candidate) => candidate.member.memberId === member.memberId);
    const store = leg?.probe?.identity.storeUuid;
    if (leg !== undefined && store === member.storeUuid) needed.push(leg);
    else if (leg === undefined) missing.push(`member ${member.memberId}, which neither this node's configuration nor the pool's table has`);
    else if (store !== undefined) missing.push(`${leg.describe()} with its former store ${member.storeUuid} (it has ${store} now)`);
    else missing.push(leg.problem || `${leg.describe()}: ${leg.session.lostReason}`);
  }
  const away = highest.inSync.filter((member) => !needed.some((leg) => isLegOf(leg, member)));
  if (
    missing.length > 0 &&
    quorum !== 'majority' &&
    needed.some((leg) => wasReleased(leg, highest)) &&
    away.every((member) => isOld(view, member))
  )
    return { legs: needed, excused: away };
  const known = knownSet(view);
  const complete = known !== null && known.length === (memory?.durable.inSync.length ?? 0);
  if (known !== null && (complete || !inGrace)) return { legs: known, excused: [] };
  if (missing.length === 0) return { legs: needed, excused: [] };
  // With quorum `majority`, one in-sync member that holds the version speaks for all: one of the majority would know of a later version.
  const holds = needed.some((leg) => leg.probe?.version != null && sameVersion(leg.probe.version, highest));
  if (quorum === 'majority' && holds && !inGrace) return { legs: needed, excused: [] };
  return { what: `${missing.join('; ')} (in-sync set of version ${formatVersion(highest)})`, remedy: remedyForAbsent(view, away) };
}

/**
 * Returns the legs that are to grant if the pool is served with `chosen`, or says which members are missing for a majority. `present`
 * have been probed.
 */
export function chooseVoters(view: AssemblyView, chosen: readonly Leg[], present: readonly Leg[]): readonly Leg[] | Wanted {
  const { members, quorum, witness } = view;
  if (quorum !== 'majority') return chosen;
  // Every member that can grant is asked: a majority of grants fences every other client.
  const entitled = [...present, ...(witness?.probe == null ? [] : [witness])].filter((leg) =>
    members.some((member) => member.memberId === leg.member.memberId && member.storeUuid === storeOf(leg)),
  );
  if (entitled.length < majorityOf(members)) {
    const absent = members.filter((member) => !entitled.some((leg) => leg.member.memberId === member.memberId));
    const answering = [...view.legs, ...(witness === null ? [] : [witness])].filter(
      ({ connected, problem }) => connected && problem !== '',
    );
    const problems = answering
      .filter(({ member }) => absent.some(({ memberId }) => memberId === member.memberId))
      .map(({ problem }) => problem);
    const names = absent.map((member) => `member ${member.memberId} (${member.name})`).join(', ');
    const counts = `${entitled.length} of ${members.length} members are there, ${majorityOf(members)} are needed`;
    return {
      what: `a majority: ${counts}; missing: ${names}${problems.length === 0 ? '' : ` (${problems.join('; ')})`}`,
      remedy: remedyForAbsent(view, absent),
    };
  }
  // A member whose removal is being superseded (L5) grants, too, as the pool is served with it. It does not count for the majority.
  return [...entitled, ...chosen.filter((leg) => !entitled.includes(leg))];
}

/**
 * C4: the other client that the pool is served to, or null if there is none. A client is alive if a member serves it. No member is
 * claimed then, not even one that does not serve that client: it may be out of the set and without a session to that client at the
 * moment. It would grant, and the client would be fenced when the member returns.
 */
export function servedByAnother(legs: readonly Leg[], clientInstance: string): Wanted | null {
  for (const leg of legs) {
    if (leg.probe?.state !== 'NORMAL' || leg.probe.promise == null || leg.probe.promise.clientInstance === clientInstance) continue;
    const { clientName } = leg.probe.promise;
    return { what: `${clientName}, which the pool is served to, to leave it (${leg.describe()} says so)`, remedy: stopOther(clientName) };
  }
  return null;
}

/** Whether the leg leads to this member with this very store. The leg has been probed. */
export function isLegOf(leg: Leg, member: InSyncMember): boolean {
  return sameMember(member, { memberId: leg.member.memberId, storeUuid: storeOf(leg) });
}

/** L5: the members of this client's last durable version that are there. Null if another version can be assembled without them. */
function knownSet({ memory, highest, holders }: AssemblyView): readonly Leg[] | null {
  if (memory === null || !mayGoOn(memory, highest, (member) => holders.some((leg) => isLegOf(leg, member)))) return null;
  return holders.filter((leg) => memory.durable.inSync.some((member) => isLegOf(leg, member)));
}

function wasReleased({ probe }: Leg, highest: VersionRecord): boolean {
  return probe?.released === true && probe.version !== null && sameVersion(probe.version, highest);
}

function isOld({ rolledBack }: AssemblyView, member: InSyncMember): boolean {
  return [...rolledBack].some(([leg, { identity }]) =>
    sameMember(member, { memberId: leg.member.memberId, storeUuid: identity.storeUuid }),
  );
}

/** What a person can do so that these members are there, with these stores. Undefined if nothing is known that would help. */
function remedyForAbsent(
  { legs, witness }: AssemblyView,
  members: readonly { readonly memberId: number; readonly storeUuid?: string | undefined }[],
): string | undefined {
  const all = witness === null ? legs : [...legs, witness];
  const concerned = all.filter((leg) => members.some(({ memberId }) => memberId === leg.member.memberId));
  const sentences = [remedyFor(concerned.filter((leg) => leg.probe === null))];
  // The members that answer do so with another store.
  for (const leg of concerned) if (leg.probe !== null) sentences.push(remedyForUnfit(leg.member.name));
  return [...new Set(sentences)].filter((sentence) => sentence !== undefined).join(' ') || undefined;
}
