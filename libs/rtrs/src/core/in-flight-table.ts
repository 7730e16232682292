import { assert, type Slab } from '@rmr/runtime';
import type { RtrsResponseSink } from '../client-types.ts';
import { CONTROL_PERMITS, USER_HEADER_BYTES_MAX } from '../constants.ts';
import type { ClientPath } from './client-path.ts';

/**
 * Permits and what is in flight under them, in parallel arrays indexed by slot. Slots 0 to CONTROL_PERMITS - 1 are
 * control's, the rest IO's.
 */
export class InFlightTable {
  readonly slotCount: number;
  readonly headerBytes: Uint8Array;
  readonly state: Uint8Array;
  readonly generation: Uint16Array;
  readonly headerLength: Uint16Array;
  readonly tag: Float64Array;
  /** The path number that a SENT or FENCED request went out on. */
  readonly pathId: Uint32Array;
  /** Counts sessions; a permit of an earlier one is void. */
  readonly era: Uint32Array;
  readonly sink: (RtrsResponseSink | null)[];
  readonly payload: (Uint8Array | null)[];
  readonly slab: (Slab | null)[];
  readonly path: (ClientPath | null)[];

  readonly #freeControl: Uint16Array;
  readonly #freeIo: Uint16Array;
  #freeControlCount = 0;
  #freeIoCount = 0;
  /** Slots from here on are beyond what the session granted. */
  #slotEnd = 0;
  currentEra = 0;

  constructor(queueDepthMax: number) {
    const count = CONTROL_PERMITS + queueDepthMax;
    this.slotCount = count;
    this.headerBytes = new Uint8Array(count * USER_HEADER_BYTES_MAX);
    this.state = new Uint8Array(count);
    this.generation = new Uint16Array(count);
    this.headerLength = new Uint16Array(count);
    this.tag = new Float64Array(count);
    this.pathId = new Uint32Array(count);
    this.era = new Uint32Array(count);
    this.sink = new Array(count).fill(null);
    this.payload = new Array(count).fill(null);
    this.slab = new Array(count).fill(null);
    this.path = new Array(count).fill(null);
    this.#freeControl = new Uint16Array(CONTROL_PERMITS);
    this.#freeIo = new Uint16Array(queueDepthMax);
  }

  get freeControlCount(): number {
    return this.#freeControlCount;
  }

  get freeIoCount(): number {
    return this.#freeIoCount;
  }

  /** A new session grants `queueDepth` IO permits. Permits still held from an earlier session are void, and come back when released. */
  open(queueDepth: number): void {
    this.currentEra++;
    this.#slotEnd = CONTROL_PERMITS + queueDepth;
    this.#freeControlCount = 0;
    this.#freeIoCount = 0;
    // The lowest slots come out first: a shallow queue stays within few cache lines.
    for (let slot = this.#slotEnd - 1; slot >= 0; slot--) if (this.state[slot] === SlotState.FREE) this.#push(slot);
  }

  /** The session is gone: no permit can be had. */
  shut(): void {
    this.#slotEnd = 0;
    this.#freeControlCount = 0;
    this.#freeIoCount = 0;
  }

  /** A free slot, or -1. */
  take(control: boolean): number {
    let slot: number;
    if (control) {
      if (this.#freeControlCount === 0) return -1;
      slot = this.#freeControl[--this.#freeControlCount] as number;
    } else {
      if (this.#freeIoCount === 0) return -1;
      slot = this.#freeIo[--this.#freeIoCount] as number;
    }
    this.state[slot] = SlotState.ALLOCATED;
    this.era[slot] = this.currentEra;
    return slot;
  }

  /** The slot is free again. Its slab is the caller's to release. */
  free(slot: number): void {
    this.state[slot] = SlotState.FREE;
    this.sink[slot] = null;
    this.payload[slot] = null;
    this.slab[slot] = null;
    this.path[slot] = null;
    if (slot < this.#slotEnd) this.#push(slot);
  }

  #push(slot: number): void {
    if (slot < CONTROL_PERMITS) this.#freeControl[this.#freeControlCount++] = slot;
    else this.#freeIo[this.#freeIoCount++] = slot;
  }

  verify(): void {
    let freeControl = 0;
    let freeIo = 0;
    for (let slot = 0; slot < this.slotCount; slot++) {
      const state = this.state[slot] as number;
      assert((this.path[slot] !== null) === (state === SlotState.SENT), 'in flight: a path without a request, or the other way round');
      assert((this.sink[slot] !== null) === state > SlotState.ALLOCATED, 'in flight: a sink without a request, or the other way round');
      assert(this.slab[slot] === null || state > SlotState.ALLOCATED, 'in flight: a free slot holds memory');
      if (state !== SlotState.FREE || slot >= this.#slotEnd) continue;
      if (slot < CONTROL_PERMITS) freeControl++;
      else freeIo++;
    }
    assert(freeControl === this.#freeControlCount, 'in flight: free control permits do not add up');
    assert(freeIo === this.#freeIoCount, 'in flight: free IO permits do not add up');
    for (let i = 0; i < this.#freeIoCount; i++) {
      assert(this.state[this.#freeIo[i] as number] === SlotState.FREE, 'in flight: the free list holds a slot in use');
    }
  }
}

/** What a slot is at. Numbers, as they are kept in a typed array. */
export const SlotState = {
  FREE: 0,
  /** The permit is held, nothing submitted. */
  ALLOCATED: 1,
  /** Sent on `path`, unanswered. */
  SENT: 2,
  /** Its path is gone; waits for the fence of that path to be confirmed (I10). */
  FENCED: 3,
  /** Submitted without a session; ends with ESESSION when the turn does. */
  REFUSED: 4,
} as const;
