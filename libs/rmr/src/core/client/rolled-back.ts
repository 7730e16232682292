import type { MemberRecord, VersionRecord } from '../../pool-store.ts';
import { compareVersions, isInSync } from '../../version.ts';
import type { ClaimResult, StorePast } from '../../wire/control-message.ts';
import { hasInPast } from '../store-past.ts';
import { storeOf } from './first-version.ts';
import type { Leg } from './leg.ts';
import type { VersionMemory } from './version-memory.ts';

/** Somebody who remembers the stores of a pool: another member, by its table, or this client. */
export interface Rememberer {
  /** `member 1 (storage-1)`, or `this client`, for people. */
  readonly who: string;
  /** The version that its table was recorded with. */
  readonly version: VersionRecord;
  readonly members: readonly MemberRecord[];
  /** It knows that the version is durable on its whole set: a client that has made it. */
  readonly durable: boolean;
}

/** What a store says of itself. */
export interface ShownStore {
  readonly memberId: number;
  readonly storeUuid: string;
  readonly version: VersionRecord | null;
  readonly past: StorePast;
  /** Its own table: it says with which version it was accepted anew. */
  readonly members: readonly MemberRecord[];
}

/** A store that is not what it was, and how that is known. */
export interface RolledBack {
  /** In a sentence that begins with the store's member, without its end. */
  readonly why: string;
  /** When the pool last knew the store to be newer, wall clock; null: that was not recorded. */
  readonly newerAtMs: number | null;
  /** It is known by a write that the store had answered, and not by its past. */
  readonly lacksWrites?: true;
}

/**
 * L8: whether a store went back in time: it lacks what somebody remembers of it. Null: nobody knows better.
 *
 * - Its past lacks the mark that somebody has seen of it: a copy that was made before.
 * - It has no version, or one older than that with which it has come into the set, though a later one exists: the one with
 *   which a member comes into the set is durable on it before another is made (V3, V4).
 * - It was out of the set before marks were kept, and its version is of an epoch before the one in which it was in the set.
 *
 * Whoever remembers has to be of the lineage that counts. Tables from before a store was accepted anew say nothing of it.
 */
export function rolledBack(store: ShownStore, rememberers: readonly Rememberer[]): RolledBack | null {
  const entryOf = ({ members }: Pick<Rememberer, 'members'>): MemberRecord | undefined =>
    members.find(({ memberId, storeUuid }) => memberId === store.memberId && storeUuid === store.storeUuid);
  const anews = [store, ...rememberers].map((each) => entryOf(each)?.anew).filter((anew) => anew !== undefined);
  for (const rememberer of rememberers) {
    const entry = entryOf(rememberer);
    const { version } = rememberer;
    if (entry === undefined || anews.some((anew) => version.epoch < anew.epoch || (version.epoch === anew.epoch && version.seq < anew.seq)))
      continue;
    const { seen } = entry;
    if (seen !== undefined && !hasInPast(store.past, seen))
      return { why: `has a store that is older than ${rememberer.who} knows it to have been`, newerAtMs: seen.atMs };
    if (lacksVersion(store, entry, rememberer))
      return { why: `has a store that lacks versions which it had recorded, as ${rememberer.who} knows`, newerAtMs: seen?.atMs ?? null };
  }
  return null;
}

/** Whether the store has not recorded a version that it must have, by what one remembers of it. */
function lacksVersion({ memberId, storeUuid, version: shown }: ShownStore, entry: MemberRecord, rememberer: Rememberer): boolean {
  const { version, durable } = rememberer;
  // With a version of a lineage that was left behind it has none of this one.
  const own = shown?.lineageUuid === version.lineageUuid ? shown : null;
  const isOlderThan = (place: { readonly epoch: number; readonly seq: number }): boolean =>
    own === null || own.epoch < place.epoch || (own.epoch === place.epoch && own.seq < place.seq);
  if (durable && isInSync(version, memberId, storeUuid)) return own === null || compareVersions(own, version) < 0;
  const { anew, joined, left, seen } = entry;
  if (joined !== undefined && (joined.epoch !== version.epoch || joined.seq !== version.seq)) return isOlderThan(joined);
  return seen === undefined && anew === undefined && left !== undefined && left.seq > 1 && own !== null && own.epoch < left.epoch;
}

/**
 * L8, among members that have answered, the witness included: those that went back in time, by what the others and this client
 * remember. `lineage`: the one that counts; whoever is of another remembers nothing, and has not what it may have joined in this one.
 * `legs`: those to all members; what one has told that does not answer any more counts as well.
 */
export function findRolledBack(
  answers: ReadonlyMap<Leg, Pick<ClaimResult, 'version' | 'members' | 'past'>>,
  lineage: string,
  memory: VersionMemory | null,
  legs: readonly Leg[],
): ReadonlyMap<Leg, RolledBack> {
  const rememberers = new Map<Leg | null, Rememberer>();
  if (memory !== null && memory.durable.lineageUuid === lineage)
    rememberers.set(null, { who: 'this client', version: memory.durable, members: memory.members, durable: true });
  for (const [leg, { version, members }] of answers)
    if (version?.lineageUuid === lineage) rememberers.set(leg, { who: leg.describe(), version, members, durable: false });
  for (const leg of legs)
    if (!answers.has(leg) && leg.heard?.version.lineageUuid === lineage)
      rememberers.set(leg, { who: leg.describe(), ...leg.heard, durable: false });
  const found = new Map<Leg, RolledBack>();
  for (const [leg, { version, past, members }] of answers) {
    const others = [...rememberers].filter(([by]) => by !== leg).map(([, rememberer]) => rememberer);
    const why = rolledBack({ memberId: leg.member.memberId, storeUuid: storeOf(leg), version, past, members }, others);
    if (why !== null) found.set(leg, why);
  }
  return found;
}
