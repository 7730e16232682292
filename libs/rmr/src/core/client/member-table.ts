import { MEMBERS_MAX } from '../../constants.ts';
import type { MemberRecord } from '../../pool-store.ts';
import { compareVersions } from '../../version.ts';
import type { ClaimResult } from '../../wire/control-message.ts';
import type { Leg } from './leg.ts';

/**
 * The member table: as this client or else the holder of the highest version remembers it, with addresses and names from the configuration; at birth made of it.
 * A member of the configuration that the table lacks is no member.
 */
export function memberTable(
  remembered: readonly MemberRecord[] | null,
  all: readonly Leg[],
  witness: Leg | null,
  present: readonly Leg[],
  results: readonly ClaimResult[],
): MemberRecord[] {
  const table = new Map<number, MemberRecord>();
  const highest = results.reduce((a, b) =>
    b.version !== null && (a.version === null || compareVersions(b.version, a.version) > 0) ? b : a,
  );
  for (const member of remembered ?? highest.members) table.set(member.memberId, member);
  const born = table.size === 0;
  for (const leg of [...all, ...(witness === null ? [] : [witness])]) {
    const { memberId, name, addresses } = leg.member;
    const known = table.get(memberId);
    if (known === undefined && !born) continue;
    const storeUuid = known?.storeUuid ?? (present.includes(leg) || leg === witness ? leg.probe?.identity.storeUuid : undefined);
    if (storeUuid === undefined) continue;
    table.set(memberId, { ...known, memberId, storeUuid, name, addresses, ...(leg === witness ? { role: 'witness' as const } : {}) });
  }
  return [...table.values()].sort((a, b) => a.memberId - b.memberId);
}

/** Ids that some member has a column of, and that are no members. */
export function unknownColumns(results: readonly ClaimResult[], members: readonly MemberRecord[]): number[] {
  const ids = new Set(results.flatMap((result) => result.columns.map((column) => column.memberId)));
  return [...ids].filter((id) => !members.some((member) => member.memberId === id)).slice(0, MEMBERS_MAX);
}
