import type { VersionMemory } from '../versions/versions.ts';
import type { Leg } from './leg.ts';

/**
 * Says which legs a step waits for. `tell` is called at once and with each answer but the last. Its text is made by `what` from the
 * names of the legs that have not answered. Returns a function to be called with each leg that has answered.
 */
export function tellAsked(
  legs: readonly Leg[],
  what: (names: string) => string,
  tell: (what: string, narrows: boolean) => void,
): (answered: Leg) => void {
  const left = new Set(legs);
  const say = (narrows: boolean): void => {
    if (left.size > 0) tell(what([...left].map((leg) => leg.describe()).join(' and ')), narrows);
  };
  say(false);
  return (answered) => {
    if (left.delete(answered)) say(true);
  };
}

/**
 * L9: the members that a client which has just started is about to reach, for people. Null if there are none. The client does not know
 * which members served the pool last. Those that it is about to reach may know of a newer lineage than those that have answered, even if
 * these need nobody else. A first attempt to connect ends in a few seconds at most. `asked`: the legs that this attempt has asked. A
 * member that was reached meanwhile is not among them.
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
