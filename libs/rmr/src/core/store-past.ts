import type { SeenMark, StoreLife, StoreMark } from '../pool-store.ts';
import type { StorePast } from '../wire/control-message.ts';

/**
 * L8: whether a store has what somebody remembers of it in its past. One that has not was put back from an older copy, or is a
 * copy whose original has gone on: it lacks writes that it had.
 *
 * The life decides, not the number alone: a copy that is opened again and again becomes as old as the original was, in other
 * lives. Only where the remembered life is older than all that the store tells of has the number to do.
 */
export function hasInPast({ age, lives }: { readonly age: number; readonly lives: readonly StoreLife[] }, mark: StoreMark): boolean {
  const life = lives.find(({ lifeUuid }) => lifeUuid === mark.lifeUuid);
  if (life !== undefined) return (life.lastAge ?? age) >= mark.age;
  const oldest = lives[0];
  return oldest !== undefined && mark.age < oldest.firstAge && mark.age <= age;
}

/** The mark of a store as it is now. */
export function markOf({ age, lives }: StorePast): StoreMark {
  const { lifeUuid } = lives[lives.length - 1] as StorePast['lives'][number];
  return { lifeUuid, age };
}

/** The mark as it is remembered by somebody who hears of it now, by a wall clock that may stand anywhere. */
export function seenAt({ lifeUuid, age }: StoreMark, wallMs: number): SeenMark {
  return { lifeUuid, age, atMs: Math.max(0, Math.floor(wallMs)) };
}
