import type { Leg } from './leg.ts';
import type { VersionMemory } from './version-memory.ts';

/**
 * L9: whom a client that has just started is about to reach, for people; null: nobody. It does not know who has served the pool
 * last: they may know of a newer lineage than those who have answered, though these need nobody else. The first attempt to
 * connect ends in a few seconds at most. `asked` are the legs that this attempt has asked; a member that was reached meanwhile is none of them.
 */
export function firstContacts(
  legs: readonly Leg[],
  pool: { readonly witness: () => Leg | null; readonly memory: () => VersionMemory | null },
  asked: readonly Leg[],
): string | null {
  const witness = pool.witness();
  const expected = [...legs, ...(witness === null ? [] : [witness])].filter(
    (leg) => leg.session.isFirstAttempt || (leg.connected && !asked.includes(leg)),
  );
  if (expected.length === 0 || pool.memory() !== null) return null;
  return `${expected.map((leg) => leg.describe()).join(' and ')} to be reached for the first time`;
}
