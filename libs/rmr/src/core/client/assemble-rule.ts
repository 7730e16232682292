import type { InSyncMember, MemberRecord, PoolPolicy, VersionRecord } from '../../pool-store.ts';
import { formatVersion, sameMember, sameVersion } from '../../version.ts';
import type { ProbeResult } from '../../wire/control-message.ts';
import { storeOf } from './first-version.ts';
import type { Leg } from './leg.ts';
import { majorityOf } from './membership.ts';
import type { Wanted } from './pool-client-types.ts';
import { remedyFor, remedyForUnfit, stopOther } from './remedies.ts';
import { mayGoOn, type VersionMemory } from './version-memory.ts';

/** What the assemble rule is applied to. */
export interface AssemblyView {
  /** All legs that are not on their way out, without the witness. Those that are fit to take part have a probe. */
  readonly legs: readonly Leg[];
  readonly witness: Leg | null;
  /** Those of them that have a version of the lineage that counts. */
  readonly holders: readonly Leg[];
  /** The highest version, and what was recorded with it. */
  readonly highest: VersionRecord;
  readonly members: readonly MemberRecord[];
  readonly quorum: PoolPolicy['quorum'];
  /** What this client remembers of having served the pool; null: it has not. */
  readonly memory: VersionMemory | null;
  /** A client that has served the pool waits for a moment for all members of its last version. */
  readonly inGrace: boolean;
  /** Members that answer with a store that went back in time (L8), with what they answered; they have no probe. */
  readonly rolledBack: ReadonlyMap<Leg, ProbeResult>;
}

/** The legs to serve a pool with. */
export interface Chosen {
  readonly legs: readonly Leg[];
  /** Members of the highest version's set without which it is known to be complete: their stores went back in time. */
  readonly excused: readonly InSyncMember[];
}

/**
 * Assemble rule: the legs to serve the pool with, or who is missing. Every member of the highest version's in-sync set is
 * needed, because any later version would be recorded on one of them.
 *
 * What a store can't show any more, as it went back in time, is missing like a store that is away: a later version may have
 * been recorded there alone. It is not where another member of the set was released: the client ended in order then, and
 * every client after it would have needed that member, too.
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
  // In majority mode one in-sync member that holds the version speaks for all: a later version would be known to one of the majority.
  const holds = needed.some((leg) => leg.probe?.version != null && sameVersion(leg.probe.version, highest));
  if (quorum === 'majority' && holds && !inGrace) return { legs: needed, excused: [] };
  return { what: `${missing.join('; ')} (in-sync set of version ${formatVersion(highest)})`, remedy: remedyForAbsent(view, away) };
}

/** The legs that are to grant if the pool is served with `chosen`, or which majority is missing. `present` have been probed. */
export function chooseVoters(view: AssemblyView, chosen: readonly Leg[], present: readonly Leg[]): readonly Leg[] | Wanted {
  const { members, quorum, witness } = view;
  if (quorum !== 'majority') return chosen;
  // Whoever can grant does: a majority of grants fences every other client.
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
  // A member whose removal is being superseded (L5) grants too, as the pool is served with it; for the majority it does not count.
  return [...entitled, ...chosen.filter((leg) => !entitled.includes(leg))];
}

/**
 * C4: that a client is alive shows where a member serves it. It is not robbed elsewhere either: a member that is out of its
 * set, and has no session with it just now, would grant, and that client would be fenced when the member returns. Null:
 * no other client than this one is served.
 */
export function servedByAnother(legs: readonly Leg[], clientInstance: string): Wanted | null {
  for (const leg of legs) {
    if (leg.probe?.state !== 'NORMAL' || leg.probe.promise == null || leg.probe.promise.clientInstance === clientInstance) continue;
    const { clientName } = leg.probe.promise;
    return { what: `${clientName}, which the pool is served to, to leave it (${leg.describe()} says so)`, remedy: stopOther(clientName) };
  }
  return null;
}

/** Whether the leg, which was probed, leads to this member with this very store. */
export function isLegOf(leg: Leg, member: InSyncMember): boolean {
  return sameMember(member, { memberId: leg.member.memberId, storeUuid: storeOf(leg) });
}

/** L5: the present members of this client's last durable version, if no other version can be assembled without them, or null. */
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

/** What a person can do so that these members are there, with these stores; undefined: nothing, as far as is known. */
function remedyForAbsent(
  { legs, witness }: AssemblyView,
  members: readonly { readonly memberId: number; readonly storeUuid?: string | undefined }[],
): string | undefined {
  const all = witness === null ? legs : [...legs, witness];
  const concerned = all.filter((leg) => members.some(({ memberId }) => memberId === leg.member.memberId));
  const sentences = [remedyFor(concerned.filter((leg) => leg.probe === null))];
  // These answer, but with another store.
  for (const leg of concerned) if (leg.probe !== null) sentences.push(remedyForUnfit(leg.member.name));
  return [...new Set(sentences)].filter((sentence) => sentence !== undefined).join(' ') || undefined;
}
