import { assert } from '@rmr/runtime';

/**
 * Shares the threads of a process between its stores. Each store has a share, which no other store ever takes, however many of them hang.
 * Beyond its share a store takes threads that are in no store's share. A store that finds no place waits until one is free.
 */
export class ThreadPlaces {
  readonly #capacity: number;
  readonly #members = new Set<StorePlaces>();
  /** Places that are taken. */
  #taken = 0;
  /** Places that are free, and part of somebody's share. */
  #claimed = 0;
  #share = 0;

  /** `threads`: those of the process. Stores get all but {@link THREADS_KEPT}, or half of them if that is more. */
  constructor(threads: number) {
    this.#capacity = Math.max(Math.ceil(threads / 2), threads - THREADS_KEPT);
  }

  /** Places that each store has for certain. */
  get share(): number {
    return this.#share;
  }

  /** Room for one more store. {@link leave} ends it. */
  join(): StorePlaces {
    const places = new StorePlaces(this);
    this.#members.add(places);
    this.#divide();
    return places;
  }

  /** A store is no more. All of its places are free. */
  leave(places: StorePlaces): void {
    assert(places.taken === 0, 'thread places: a store that leaves holds none');
    assert(this.#members.delete(places), 'thread places: a store leaves once');
    this.#divide();
    this.#wake();
  }

  /** For stores: whether one that holds `taken` may have another. */
  take(taken: number): boolean {
    // One is always allowed: where there are more stores than threads, they share what there is.
    const own = taken < Math.max(1, this.#share);
    if (!own && (taken >= THREADS_PER_STORE || this.#taken + this.#claimed >= this.#capacity)) return false;
    this.#taken++;
    if (taken < this.#share) this.#claimed--;
    return true;
  }

  /** For stores: one that holds `taken` now has given one back. */
  give(taken: number): void {
    this.#taken--;
    if (taken < this.#share) this.#claimed++;
    else this.#wake();
  }

  /** Rechecks the invariants. */
  verify(): void {
    let taken = 0;
    let claimed = 0;
    for (const member of this.#members) {
      taken += member.taken;
      claimed += Math.max(0, this.#share - member.taken);
      assert(member.taken <= THREADS_PER_STORE, 'thread places: no store holds more than it may');
    }
    assert(taken === this.#taken, 'thread places: those that are taken are counted');
    assert(claimed === this.#claimed, 'thread places: those that are claimed are counted');
  }

  #divide(): void {
    const { size } = this.#members;
    this.#share = size === 0 ? 0 : Math.min(THREADS_PER_STORE, Math.floor(this.#capacity / size));
    this.#claimed = 0;
    for (const { taken } of this.#members) this.#claimed += Math.max(0, this.#share - taken);
  }

  #wake(): void {
    for (const member of this.#members) if (member.wanting) member.wake();
  }
}

/**
 * Calls of one store that may wait for its disk at the same time: eight requests, a flush, a write-back, the canary, and a call that asks
 * what has become of the disk. A disk that hangs holds so many threads.
 */
export const THREADS_PER_STORE = 12;
/** Of these, the places that requests don't get. Whatever the requests wait for, a flush has to start, and the disk has to be looked at. */
const THREADS_BESIDE_REQUESTS = 4;
/** Threads that stores never get: for the files of the process itself, and for looking up names. */
export const THREADS_KEPT = 8;
/** Stores that may be opened later, and have their threads then. */
export const STORES_SPARE = 4;
/** Threads that libuv has at most. */
export const THREADS_MAX = 1024;
/** Stores of one process: each has four threads at least. */
export const STORES_MAX = 250;

assert(THREADS_KEPT + 4 * STORES_MAX <= THREADS_MAX, 'thread places: four threads for each store');

/** Threads that a process with so many stores needs, so that a disk that hangs holds up no other store. */
export function threadsFor(stores: number): number {
  return Math.min(THREADS_MAX, THREADS_KEPT + THREADS_PER_STORE * (stores + STORES_SPARE));
}

/** The places of one store. */
export class StorePlaces {
  readonly #all: ThreadPlaces;
  /** Places that it holds. */
  taken = 0;
  /** It was refused a place since it was last woken. */
  wanting = false;
  /** Called when a place may be free that was refused. */
  onFree: () => void = () => {};

  constructor(all: ThreadPlaces) {
    this.#all = all;
  }

  /** Places that its requests may have. */
  get requestsMax(): number {
    return Math.max(1, this.#all.share - THREADS_BESIDE_REQUESTS);
  }

  /** Takes a place; false: there is none. */
  take(): boolean {
    if (this.#all.take(this.taken)) {
      this.taken++;
      return true;
    }
    this.wanting = true;
    return false;
  }

  /** Gives one back. */
  give(): void {
    assert(this.taken > 0, 'thread places: what is given back was taken');
    this.taken--;
    this.#all.give(this.taken);
    if (this.wanting) this.wake();
  }

  /** For the owner of all places: one may be free. */
  wake(): void {
    this.wanting = false;
    this.onFree();
  }

  /** The store is no more. */
  leave(): void {
    this.onFree = () => {};
    this.#all.leave(this);
  }
}
