import { MEMBERS_MAX } from '../../../constants.ts';
import type { MemberRecord } from '../../../pool-store.ts';
import { compareVersions, sameVersion } from '../../../version.ts';
import type { ClaimResult } from '../../../wire/control-message.ts';
import { markOf, seenAt } from '../../store-past.ts';
import type { Leg, MemberAddress } from '../legs/leg.ts';
import { withSeen } from './member-records.ts';

/**
 * The member table: the one that this client remembers, or else that of the holder of the highest version. At birth it is made from the
 * configuration. A member of the configuration that the table lacks is no member. What the table says of a member counts (L9), except
 * for the place of a member of the set to come: that is where it has answered. The table may be from before the member moved, if the
 * later version that led the leg to the new place had no majority. `grants`: those of the members of the set to come, whose stores are as
 * old as they say from now on (L8). `nowMs`: wall clock.
 */
export function memberTable(
  remembered: readonly MemberRecord[] | null,
  all: readonly Leg[],
  witness: Leg | null,
  grants: ReadonlyMap<Leg, ClaimResult>,
  nowMs: number,
): MemberRecord[] {
  const table = new Map<number, MemberRecord>();
  const results = [...grants.values()];
  const highest = results.reduce((a, b) =>
    b.version !== null && (a.version === null || compareVersions(b.version, a.version) > 0) ? b : a,
  );
  const same = results.filter(({ version }) => version !== null && highest.version !== null && sameVersion(version, highest.version));
  const tables = same.map(({ members }) => members);
  for (const member of remembered ?? withSeen(highest.members, tables)) table.set(member.memberId, member);
  const born = table.size === 0;
  for (const leg of [...all, ...(witness === null ? [] : [witness])]) {
    const { memberId, name, addresses } = leg.member;
    const known = table.get(memberId);
    if (known === undefined && !born) continue;
    const grant = grants.get(leg);
    const storeUuid = known?.storeUuid ?? (grant !== undefined || leg === witness ? leg.probe?.identity.storeUuid : undefined);
    if (storeUuid === undefined) continue;
    // What answered elsewhere and takes no part may be a copy of the member's store.
    const isElsewhere = grant !== undefined && known !== undefined && !sameAddresses(known, leg.member);
    const place = known === undefined || isElsewhere ? { name, addresses } : {};
    const seen = grant === undefined ? {} : { seen: seenAt(markOf(grant.past), nowMs) };
    const role = leg === witness ? { role: 'witness' as const } : {};
    table.set(memberId, { ...(known ?? { name, addresses }), memberId, storeUuid, ...place, ...role, ...seen });
  }
  return [...table.values()].sort((a, b) => a.memberId - b.memberId);
}

/** The ids of former members of which some member still has a column. */
export function unknownColumns(results: readonly ClaimResult[], members: readonly MemberRecord[]): number[] {
  const ids = new Set(results.flatMap((result) => result.columns.map((column) => column.memberId)));
  return [...ids].filter((id) => !members.some((member) => member.memberId === id)).slice(0, MEMBERS_MAX);
}

/** Whether two records lead to the same place. */
export function sameAddresses(a: Pick<MemberAddress, 'addresses'>, b: Pick<MemberAddress, 'addresses'>): boolean {
  return a.addresses.length === b.addresses.length && a.addresses.every((address, index) => address === b.addresses[index]);
}
