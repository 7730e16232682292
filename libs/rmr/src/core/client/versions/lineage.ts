import { formatTime } from '@rmr/runtime';
import type { PoolPolicy, VersionRecord } from '../../../pool-store.ts';
import { formatVersion, isInSync } from '../../../version.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import type { Leg } from '../legs/leg.ts';

/** What a member, or the client itself, knows of the lineages of its pool. */
export interface LineageEvidence {
  readonly version: VersionRecord | null;
  readonly policy: Pick<PoolPolicy, 'formerLineages'>;
}

/**
 * The lineage that counts: the one that names all others as former ones. Null if there is no version. Undefined if two lineages know
 * nothing of each other.
 */
export function newestLineage(known: readonly LineageEvidence[]): string | null | undefined {
  const lineages = new Set(known.map(({ version }) => version?.lineageUuid).filter((lineage) => lineage !== undefined));
  if (lineages.size === 0) return null;
  return [...lineages].find((lineage) =>
    [...lineages].every(
      (other) =>
        other === lineage || known.some(({ version, policy }) => version?.lineageUuid === lineage && policy.formerLineages.includes(other)),
    ),
  );
}

/**
 * The legs to force the pool with: the members of the highest version's set that are there. The holders of that version are among them,
 * as only members of its set record a version. `present` have been probed.
 */
export function forcedSet(present: readonly Leg[], highest: VersionRecord): readonly Leg[] {
  return present.filter((leg) => isInSync(highest, leg.member.memberId, leg.probe?.identity.storeUuid ?? ''));
}

/** When the pool last heard of a store, wall clock, as the store itself has recorded it. Null if it has no version, or recorded no time. */
export function heardAtMs({ identity, members, version }: Pick<ProbeResult, 'identity' | 'members' | 'version'>): number | null {
  if (version === null) return null;
  return members.find(({ memberId, storeUuid }) => memberId === identity.memberId && storeUuid === identity.storeUuid)?.seen?.atMs ?? null;
}

/** `member 1 (storage-1), version 3.2{1,2}, last heard of on 2026-11-30 14:00:00Z`, for people. The leg has been probed. */
export function describeHistory(leg: Leg): string {
  const probe = leg.probe as ProbeResult;
  const atMs = heardAtMs(probe);
  const version = probe.version === null ? 'without a version' : `version ${formatVersion(probe.version)}`;
  return `${leg.describe()}, ${version}${atMs === null ? '' : `, last heard of on ${formatTime(atMs)}`}`;
}

/** The lineages of these legs, for people. Each comes with its members and the dates of their newest versions. */
export function describeLineages(legs: readonly Leg[]): string {
  const byLineage = new Map<string, string[]>();
  for (const leg of legs) {
    const lineage = leg.probe?.version?.lineageUuid;
    if (lineage !== undefined) byLineage.set(lineage, [...(byLineage.get(lineage) ?? []), describeHistory(leg)]);
  }
  return [...byLineage].map(([lineage, members]) => `lineage ${lineage} of ${members.join(' and ')}`).join('; ');
}
