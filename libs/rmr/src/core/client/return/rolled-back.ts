import type { MemberRecord, VersionRecord } from '../../../pool-store.ts';
import { compareVersions, isInSync } from '../../../version.ts';
import type { ClaimResult, StorePast } from '../../../wire/control-message.ts';
import { hasInPast } from '../../store-past.ts';
import type { Leg } from '../legs/leg.ts';
import { storeOf } from '../recovery/first-version.ts';
import type { VersionMemory } from '../versions/versions.ts';

/** A store that went back in time, and how that is known. */
export interface RolledBack {
  /** The rest of a sentence that begins with the store's member, without its end. */
  readonly why: string;
  /** When the pool last knew the store to be newer, wall clock. Null if that was not recorded. */
  readonly newerAtMs: number | null;
  /** Known by a write that the store has answered and does not have, and not by its past. */
  readonly lacksWrites?: true;
}

/** Anybody that remembers the stores of a pool: another member by its table, or this client. */
export interface Rememberer {
  /** `member 1 (storage-1)`, or `this client`, for people. */
  readonly who: string;
  /** The version with which the rememberer's table was recorded. */
  readonly version: VersionRecord;
  readonly members: readonly MemberRecord[];
  /** Whether the rememberer knows that the version is durable on its whole set. Only the client that has made the version knows that. */
  readonly durable: boolean;
}

/** What a store says of itself. */
export interface ShownStore {
  readonly memberId: number;
  readonly storeUuid: string;
  readonly version: VersionRecord | null;
  readonly past: StorePast;
  /** The store's own member table. It says with which version the store was accepted anew. */
  readonly members: readonly MemberRecord[];
}

/**
 * L8: whether a store went back in time, as it lacks what a rememberer knows of it. Null if no rememberer knows more than the store has.
 *
 * A store went back in time in any of these cases:
 * - A rememberer has a mark of it that its past lacks. The store is a copy that was made before the mark.
 * - It has no version, or a version older than the one with which it came into the set, although a later one exists. The version with
 *   which a member comes into the set is durable on its store before another is made (V3, V4).
 * - It left the set before marks were kept, and its version is of an epoch before the one in which it was in the set.
 *
 * Only rememberers of the lineage that counts are believed. A table from before the store was accepted anew says nothing of it.
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

/** Whether the store lacks a version that it must have recorded, by what one rememberer knows of it. */
function lacksVersion({ memberId, storeUuid, version: shown }: ShownStore, entry: MemberRecord, rememberer: Rememberer): boolean {
  const { version, durable } = rememberer;
  // A store with a version of a lineage that was left behind has no version of this lineage.
  const own = shown?.lineageUuid === version.lineageUuid ? shown : null;
  const isOlderThan = (place: { readonly epoch: number; readonly seq: number }): boolean =>
    own === null || own.epoch < place.epoch || (own.epoch === place.epoch && own.seq < place.seq);
  if (durable && isInSync(version, memberId, storeUuid)) return own === null || compareVersions(own, version) < 0;
  const { anew, joined, left, seen } = entry;
  if (joined !== undefined && (joined.epoch !== version.epoch || joined.seq !== version.seq)) return isOlderThan(joined);
  return seen === undefined && anew === undefined && left !== undefined && left.seq > 1 && own !== null && own.epoch < left.epoch;
}

/**
 * L8: finds the members whose stores went back in time, by what the others and this client remember. `answers` are those of members and
 * witness. `lineage` is the one that counts: a member of another lineage remembers nothing that counts, and lacks the versions of this
 * lineage. `legs` lead to all members: what a member has told before counts even if it does not answer any more.
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
