import type { SeenMark, StoreLife, StoreMark } from '../pool-store.ts';
import type { StorePast } from '../wire/control-message.ts';

/**
 * L8: whether a remembered mark is in a store's past. If it is not, the store was put back from an older copy, or is a copy whose
 * original has gone on: it lacks writes.
 *
 * The life decides, and not the age alone: a copy that is opened again and again becomes as old as its original was, in other lives. The
 * age alone decides only if the remembered life is older than all lives that the store still tells of.
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

/** The mark as it is remembered when it is heard now. The wall clock may stand anywhere. */
export function seenAt({ lifeUuid, age }: StoreMark, wallMs: number): SeenMark {
  return { lifeUuid, age, atMs: Math.max(0, Math.floor(wallMs)) };
}
