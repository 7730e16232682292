import { MEMBERS_MAX } from '../../../constants.ts';
import { feltOf, isFelt } from '../../../wire/felt.ts';
import type { IoEngineHost } from './io-engine.ts';
import type { IoRequest } from './io-request.ts';

/**
 * How long the members' answers take. Each member is told, so that resync beside client load goes only as fast as clients hardly feel. A
 * member can't see the time that requests spend on the way, or in threads that are busy. The client can.
 */
export class FeltAnswers {
  readonly #host: Pick<IoEngineHost, 'eachChunkClean'>;
  /** By leg: the slowest answer that it has not been told of, as in felt.ts; 0: it has been told of all. */
  readonly #slowest = new Uint8Array(MEMBERS_MAX);

  constructor(host: Pick<IoEngineHost, 'eachChunkClean'>) {
    this.#host = host;
  }

  /** A leg has carried out the request in so many milliseconds. `isDirty`: it misses something, though maybe nothing of this. */
  note(legIndex: number, { type, offsetBytes, lengthBytes }: IoRequest, tookMs: number, isDirty: boolean): void {
    if (!isFelt(type)) return;
    // What it may have had to pull for this request says nothing of what else it pulls.
    if (isDirty && lengthBytes > 0 && !this.#host.eachChunkClean(offsetBytes, lengthBytes, 1 << legIndex)) return;
    const felt = feltOf(tookMs);
    if (felt > (this.#slowest[legIndex] as number)) this.#slowest[legIndex] = felt;
  }

  /** What the leg is to be told with the next request. */
  take(legIndex: number): number {
    const felt = this.#slowest[legIndex] as number;
    this.#slowest[legIndex] = 0;
    return felt;
  }
}
