import { MessageType } from './io-message.ts';

/** Steps per factor of two, and the shortest time that is told from nothing, in milliseconds. */
const PER_OCTAVE = 8;
const SHORTEST_MS = 0.01;

/** The highest value of {@link feltOf}: what takes longer is not told apart. */
export const FELT_MAX = 255;

/**
 * How long an answer took, as the one byte in which a client tells a storage node what it feels: 1 for up to 10 µs, and
 * eight steps for each factor of two from there on.
 */
export function feltOf(tookMs: number): number {
  return tookMs <= SHORTEST_MS ? 1 : Math.min(FELT_MAX, 1 + Math.ceil(PER_OCTAVE * Math.log2(tookMs / SHORTEST_MS)));
}

/** The longest time that the byte stands for, in milliseconds. */
export function feltMs(felt: number): number {
  return SHORTEST_MS * 2 ** ((felt - 1) / PER_OCTAVE);
}

/** Whether clients feel resync by how long a request of this type takes. Those of whole ranges may take long by themselves. */
export function isFelt(type: number): boolean {
  return type === MessageType.READ || type === MessageType.WRITE || type === MessageType.FLUSH;
}
