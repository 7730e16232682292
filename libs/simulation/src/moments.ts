import type { SimulatedStorageNode } from './simulated-nodes.ts';

/** Lets faults wait for a moment. */
export class Moments {
  readonly #waiting = new Map<Moment, (node: SimulatedStorageNode | null) => void>();

  /** `strike` is called at the next such moment, from within the code that comes to it. A `strike` that was given before for this moment is dropped. */
  await(moment: Moment, strike: (node: SimulatedStorageNode | null) => void): void {
    this.#waiting.set(moment, strike);
  }

  /** Nobody waits any more. */
  clear(): void {
    this.#waiting.clear();
  }

  awaited(moment: Moment): boolean {
    return this.#waiting.has(moment);
  }

  /** The moment has come. `node`: the node at which it has, if it is at one. */
  reached(moment: Moment, node: SimulatedStorageNode | null): void {
    const strike = this.#waiting.get(moment);
    if (strike === undefined) return;
    this.#waiting.delete(moment);
    strike(node);
  }
}

/**
 * Moments at which a fault does most harm:
 * - `write`: a node is about to write data to its disk;
 * - `write behind`: the same, into a chunk that is dirty for it: a pull, or a write that replaces the chunk;
 * - `acknowledged`: a change that is not durable has been acknowledged;
 * - `durable`: a flush or FUA write has been acknowledged;
 * - `record`: a node is about to write a journal record that takes more than one sector.
 */
export type Moment = 'write' | 'write behind' | 'acknowledged' | 'durable' | 'record';
