import type { MemberRecord, PoolPolicy } from '../../../pool-store.ts';
import type { Leg } from '../legs/leg.ts';
import type { LegTable } from '../legs/leg-table.ts';
import type { PoolClientOptions } from '../pool-client-types.ts';
import { dataMembers, isWitness } from '../versions/member-records.ts';
import type { Versions } from '../versions/versions.ts';

/** L9: where the configuration differs from what the pool has recorded, for people. */
export function differences(options: PoolClientOptions, pool: RecordedPool): Difference[] {
  const { members, policy } = pool;
  if (members.length === 0) return [];
  return [
    ...quorumDifference(options, policy),
    ...nameDifferences(options, pool),
    ...options.members.flatMap((configured) => memberDifference(configured.memberId, configured.name, configured.addresses, pool)),
    ...witnessDifference(options, members),
    ...unnamed(options, members),
    ...sameNames(pool),
  ];
}

/** A point in which this node's configuration differs from what the pool has recorded. The pool's record counts (L9). */
export interface Difference {
  readonly what: string;
  readonly remedy: string;
}

/** What a pool has recorded, and the members that this client has found. */
export interface RecordedPool {
  readonly members: readonly MemberRecord[];
  readonly policy: PoolPolicy;
  readonly legs: readonly Leg[];
  readonly witness: Leg | null;
  /** The leg to where the configuration names a member that the pool knows elsewhere. */
  readonly strayOf: (memberId: number) => Leg | undefined;
}

/** The differences from what this client has recorded, or else from what a member has answered. Empty while neither is known. */
export function knownDifferences(options: PoolClientOptions, versions: Versions, table: LegTable): Difference[] {
  const found = { legs: table.staying, witness: table.witness, strayOf: (memberId: number) => table.strayOf(memberId) };
  if (versions.current !== null) return differences(options, { members: versions.members, policy: versions.policy, ...found });
  const informed = found.legs.find((leg) => leg.probe !== null && leg.probe.members.length > 0)?.probe;
  return informed == null ? [] : differences(options, { members: informed.members, policy: informed.policy, ...found });
}

function quorumDifference({ quorum }: PoolClientOptions, policy: PoolPolicy): Difference[] {
  if (quorum === undefined || quorum === policy.quorum) return [];
  return [
    {
      what: `the configuration says quorum ${quorum}, and the pool has quorum ${policy.quorum}, which counts`,
      remedy: `Write quorum: ${policy.quorum}, or leave it out. The configured quorum is that with which a pool is created.`,
    },
  ];
}

function nameDifferences({ poolName }: PoolClientOptions, { legs }: RecordedPool): Difference[] {
  const others = legs.filter(({ probe }) => probe !== null && probe.identity.poolName !== poolName);
  return others.map((leg) => ({
    what: `the configuration calls the pool "${poolName}", and the store of ${leg.describe()} "${leg.probe?.identity.poolName ?? ''}"`,
    remedy: 'Check that the UUID in the configuration is that of the pool you mean; then correct the name there. A name is only a label.',
  }));
}

function memberDifference(memberId: number, name: string, addresses: readonly string[], { members, strayOf }: RecordedPool): Difference[] {
  const known = members.find((member) => member.memberId === memberId);
  if (known === undefined) {
    return [
      {
        what: `the configuration names member ${memberId} (${name}), which is no member of the pool`,
        remedy: 'Take it out of the configuration if it was removed; if it is to be a member, it has to be added.',
      },
    ];
  }
  const found: Difference[] = [];
  if (known.addresses.join(' ') !== addresses.join(' ')) {
    const stray = strayOf(memberId);
    const there =
      stray?.probe?.identity.storeUuid === known.storeUuid
        ? ', and a copy of its store, or the same storage node, answers where the configuration names it'
        : '';
    found.push({
      what: `the configuration names member ${memberId} at ${addresses.join(' or ')}, and the pool knows it at ${known.addresses.join(' or ')}, which counts${there}`,
      remedy:
        'Correct the addresses in the configuration. If the store was copied to another host, stop the storage node that has the one that is not in service.',
    });
  }
  if (known.name !== name) {
    found.push({
      what: `the configuration calls member ${memberId} "${name}", and the pool calls it "${known.name}"`,
      remedy: 'Check that the configuration means this member; then correct the name there. A name is only a label.',
    });
  }
  return found;
}

function witnessDifference({ witness }: PoolClientOptions, members: readonly MemberRecord[]): Difference[] {
  const known = members.find(isWitness);
  if (witness === undefined || known?.memberId === witness.memberId) return [];
  const has = known === undefined ? 'has none' : `has member ${known.memberId} (${known.name}) for it`;
  return [
    {
      what: `the configuration names member ${witness.memberId} (${witness.name}) as the witness, and the pool ${has}, which counts`,
      remedy: 'Correct the witness in the configuration, or leave it out: a witness is named when a pool is created.',
    },
  ];
}

function unnamed(options: PoolClientOptions, members: readonly MemberRecord[]): Difference[] {
  return dataMembers(members)
    .filter(({ memberId }) => !options.members.some((configured) => configured.memberId === memberId))
    .map(({ memberId, name, addresses }) => ({
      what: `the pool has member ${memberId} (${name}, ${addresses.join(' or ')}), which the configuration does not name`,
      remedy: 'Add it to the configuration, so that this node finds the pool when only that member is there.',
    }));
}

/** Two storage nodes that call themselves by one name mislead everybody that reads it. */
function sameNames({ legs }: RecordedPool): Difference[] {
  const found: Difference[] = [];
  for (const [index, leg] of legs.entries()) {
    const { peer } = leg.session.rtrs;
    if (!leg.connected || peer == null) continue;
    const other = legs
      .slice(0, index)
      .find(
        (each) => each.connected && each.session.rtrs.peer?.hostName === peer.hostName && each.session.rtrs.peer.hostUuid !== peer.hostUuid,
      );
    if (other !== undefined)
      found.push({
        what: `the storage nodes of ${other.describe()} and ${leg.describe()} both call themselves "${peer.hostName}"`,
        remedy: 'Give one of them another name in its configuration.',
      });
  }
  return found;
}
