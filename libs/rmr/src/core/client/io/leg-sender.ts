import type { RtrsResponseSink } from '@rmr/rtrs';
import { MEMBERS_MAX } from '../../../constants.ts';
import { encodeIoMessage, IO_MESSAGE_BYTES, IoMessage, isWriteType } from '../../../wire/io-message.ts';
import type { Leg } from '../legs/leg.ts';
import type { FeltAnswers } from './felt-answers.ts';
import type { IoRequest } from './io-request.ts';
import type { IoUnits } from './io-units.ts';

/** Sends requests on legs. It knows what travels with each of them: the version, and the ids of the members that a write misses (W2). */
export class LegSender {
  /** By leg index: the number of requests that the leg was sent and has not answered. */
  readonly inFlight: Int32Array;
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
    this.inFlight = inFlight;
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

  /** Takes a permit of every leg in the mask, for {@link sendToAll}. Takes none, and returns false, if a leg has none left. */
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

  /** Takes a permit of one leg, for {@link sendToOne}. Negative: it has none left. */
  takePermit(index: number): number {
    return (this.#legs[index] as Leg).allocate();
  }

  /** Sends a write or flush to every leg in the mask, with the permits that were taken. */
  sendToAll(unit: number, mask: number, request: IoRequest, writeSeq: number, completedThrough: number): void {
    this.#describe(unit, request, request.flags, writeSeq, completedThrough);
    for (let index = 0; index < this.#legs.length; index++) {
      if ((mask & (1 << index)) !== 0) this.#send(unit, index, this.#permits[index] as number, request);
    }
  }

  /** Sends a request that changes nothing to one leg. */
  sendToOne(unit: number, index: number, permit: number, request: IoRequest, completedThrough: number): void {
    this.#describe(unit, request, 0, 0, completedThrough);
    this.#send(unit, index, permit, request);
  }

  #describe(unit: number, request: IoRequest, flags: number, writeSeq: number, completedThrough: number): void {
    const message = this.#message;
    message.type = request.type;
    message.flags = flags;
    message.ioUnit = unit;
    message.offsetBytes = request.offsetBytes;
    message.lengthBytes = request.lengthBytes;
    message.writeSeq = writeSeq;
    message.completedThrough = completedThrough;
  }

  #send(unit: number, index: number, permit: number, request: IoRequest): void {
    const leg = this.#legs[index] as Leg;
    const message = this.#message;
    message.poolHandle = leg.poolHandle;
    const missing = message.missingCount;
    // Only writes carry the ids of missing members.
    if (!isWriteType(request.type)) message.missingCount = 0;
    message.felt = this.#felt.take(index);
    encodeIoMessage(message, leg.headerBytes, leg.headerOffset(permit));
    message.missingCount = missing;
    this.inFlight[index] = (this.inFlight[index] as number) + 1;
    leg.submit(permit, IO_MESSAGE_BYTES, request.payload, request.slab, this.#units.tag(unit, index), this.#sink);
  }
}
