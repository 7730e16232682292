import type { RtrsResponseSink } from '@rmr/rtrs';
import { MEMBERS_MAX } from '../../../constants.ts';
import { feltOf, isFelt } from '../../../wire/felt.ts';
import { encodeIoMessage, IO_MESSAGE_BYTES, IoMessage, isWriteType } from '../../../wire/io-message.ts';
import type { Leg } from '../legs/leg.ts';
import type { IoEngineHost } from './io-engine.ts';
import { type IoRequest, isLegWide } from './io-request.ts';
import type { IoUnits } from './io-units.ts';

/** Sends requests on legs. It knows what travels with each of them: the version, and the ids of the members that a write misses (W2). */
export class LegSender {
  readonly #inFlight: Int32Array;
  readonly #legs: readonly Leg[];
  readonly #units: IoUnits;
  readonly #felt: FeltAnswers;
  readonly #sink: RtrsResponseSink;
  readonly #message = new IoMessage();
  readonly #permits = new Int32Array(MEMBERS_MAX);

  constructor(legs: readonly Leg[], units: IoUnits, felt: FeltAnswers, inFlight: Int32Array, sink: RtrsResponseSink) {
    this.#legs = legs;
    this.#units = units;
    this.#felt = felt;
    this.#inFlight = inFlight;
    this.#sink = sink;
  }

  /** Whether writes miss a member. */
  get misses(): boolean {
    return this.#message.missingCount > 0;
  }

  /** What is sent from now on is sent under this version. `missing`: the ids of the members outside of it. */
  setVersion(epoch: number, versionSeq: number, missing: readonly number[]): void {
    this.#message.epoch = epoch;
    this.#message.versionSeq = versionSeq;
    this.#message.missingCount = missing.length;
    this.#message.missingMemberIds.fill(0);
    for (let i = 0; i < missing.length; i++) this.#message.missingMemberIds[i] = missing[i] as number;
  }

  /** Takes a permit of every leg in the mask, for {@link send}. Takes none, and returns false, if a leg has none left. */
  takePermits(mask: number): boolean {
    for (let index = 0; index < this.#legs.length; index++) {
      if ((mask & (1 << index)) === 0) continue;
      const permit = (this.#legs[index] as Leg).allocate();
      if (permit < 0) {
        for (let back = 0; back < index; back++)
          if ((mask & (1 << back)) !== 0) (this.#legs[back] as Leg).release(this.#permits[back] as number);
        return false;
      }
      this.#permits[index] = permit;
    }
    return true;
  }

  /** Sends a request to every leg in the mask, with the permits that were taken. `writeSeq`: 0 if it is no write. */
  send(unit: number, mask: number, request: IoRequest, writeSeq: number, completedThrough: number): void {
    const message = this.#message;
    message.type = request.type;
    message.flags = isLegWide(request) ? request.flags : 0;
    message.ioUnit = unit;
    message.offsetBytes = request.offsetBytes;
    message.lengthBytes = request.lengthBytes;
    message.writeSeq = writeSeq;
    message.completedThrough = completedThrough;
    for (let index = 0; index < this.#legs.length; index++) if ((mask & (1 << index)) !== 0) this.#sendTo(index, unit, request);
  }

  #sendTo(index: number, unit: number, request: IoRequest): void {
    const leg = this.#legs[index] as Leg;
    const permit = this.#permits[index] as number;
    const message = this.#message;
    message.poolHandle = leg.poolHandle;
    const missing = message.missingCount;
    // Only writes carry the ids of missing members.
    if (!isWriteType(request.type)) message.missingCount = 0;
    message.felt = this.#felt.take(index);
    encodeIoMessage(message, leg.headerBytes, leg.headerOffset(permit));
    message.missingCount = missing;
    this.#inFlight[index] = (this.#inFlight[index] as number) + 1;
    leg.submit(permit, IO_MESSAGE_BYTES, request.payload, request.slab, this.#units.tag(unit, index), this.#sink);
  }
}

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
