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
