import type { PoolPolicy, VersionRecord } from '../../pool-store.ts';
import { isInSync } from '../../version.ts';
import type { Leg } from './leg.ts';

/** What a member, or the client itself, knows of the lineages of its pool. */
export interface LineageWitness {
  readonly version: VersionRecord | null;
  readonly policy: Pick<PoolPolicy, 'formerLineages'>;
}

/**
 * The lineage that counts: the one that knows of all others as former ones. Null when nobody has a version, undefined when
 * two lineages know nothing of one another.
 */
export function newestLineage(known: readonly LineageWitness[]): string | null | undefined {
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
 * The legs to force the pool with: those of the highest version's set that are there. Who holds it is among them, as
 * a version is recorded by members of its set alone. `present` have been probed.
 */
export function forcedSet(present: readonly Leg[], highest: VersionRecord): readonly Leg[] {
  return present.filter((leg) => isInSync(highest, leg.member.memberId, leg.probe?.identity.storeUuid ?? ''));
}
