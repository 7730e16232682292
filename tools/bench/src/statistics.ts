/** The middle value; of an even count, the mean of the middle two. `values` is not empty. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) throw new RangeError('median of nothing');
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** A ratio of medians, with the smallest and largest ratio that a single round showed. */
export interface RatioWithSpread {
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
}

/**
 * `median(ours) / median(theirs)`. The rounds alternate between the subjects, so round i of one is compared with
 * round i of the other for the spread: noise that lasts longer than a round cancels out.
 * Null when a median is zero or when the numbers of rounds differ.
 */
export function ratioOfMedians(ours: readonly number[], theirs: readonly number[]): RatioWithSpread | null {
  if (ours.length === 0 || ours.length !== theirs.length) return null;
  if (theirs.some((value) => value === 0)) return null;
  const perRound = ours.map((value, round) => value / (theirs[round] as number));
  return { ratio: median(ours) / median(theirs), low: Math.min(...perRound), high: Math.max(...perRound) };
}
