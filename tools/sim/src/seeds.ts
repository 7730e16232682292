import { OperationError, SeededRandom } from '@rmr/runtime';

/** Which seeds to run: exactly one of these. */
export interface SeedOptions {
  readonly seed?: string;
  readonly seeds?: string;
  readonly minutes?: string;
}

/** The seeds that were asked for, in order. Throws INVALID_ARGUMENT. */
export function* seedsOf(options: SeedOptions): Generator<number> {
  const given = [options.seed, options.seeds, options.minutes].filter((value) => value !== undefined).length;
  if (given !== 1) throw new OperationError('INVALID_ARGUMENT', 'give one of --seed N, --seeds A..B, --minutes M');
  if (options.minutes !== undefined) {
    const minutes = Number(options.minutes);
    if (!(minutes > 0 && minutes <= 24 * 60))
      throw new OperationError('INVALID_ARGUMENT', `--minutes ${options.minutes}: write a number of minutes, at most 1440`);
    const random = new SeededRandom(Date.now());
    for (const endMs = performance.now() + minutes * 60_000; performance.now() < endMs; ) yield random.u32();
    return;
  }
  const { first, last } = seedRange(options.seeds ?? `${options.seed}..${options.seed}`);
  for (let seed = first; seed <= last; seed++) yield seed;
}

/** `1..100`, both ends included. Throws INVALID_ARGUMENT. */
export function seedRange(text: string): { readonly first: number; readonly last: number } {
  const match = /^(\d{1,15})\.\.(\d{1,15})$/.exec(text);
  const [first, last] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || first > last)
    throw new OperationError('INVALID_ARGUMENT', `"${text}": write whole numbers, --seed 7 or --seeds 1..100`);
  return { first, last };
}
