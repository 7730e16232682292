import type { DiskRequest } from '@rmr/testing';
import type { Geometry } from './geometry.ts';
import type { SimulatedStorageNode } from './simulated-nodes.ts';

/** What the storage nodes can know of what their disks can't read, as it is seen from outside. */
export class FailedReads {
  readonly #geometry: Geometry;
  readonly #failures = new Map<SimulatedStorageNode, Failures>();
  /** Reads under way: the store of the process that reads. */
  readonly #reads = new WeakMap<DiskRequest, object>();

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  /** A disk was given this. */
  diskRequest({ store }: SimulatedStorageNode, request: DiskRequest): void {
    if (store !== null && request.kind === 'read') this.#reads.set(request, store);
  }

  /** It is done with that, and has not answered. */
  diskEnd(node: SimulatedStorageNode, request: DiskRequest): void {
    const { store, disk } = node;
    if (store === null || this.#reads.get(request) !== store) return;
    const { offsetBytes, lengthBytes } = request;
    const isBroken = disk.isBroken(offsetBytes, lengthBytes);
    if (!isBroken && disk.faultsDue === 0 && disk.faultOf === null) return;
    const first = node.chunkAt(offsetBytes, this.#geometry);
    const last = node.chunkAt(offsetBytes + lengthBytes - 1, this.#geometry);
    if (first < 0) return;
    let failures = this.#of(node);
    if (failures === undefined) {
      failures = { store, chunks: new Set(), met: new Map() };
      this.#failures.set(node, failures);
    }
    for (let chunk = first; chunk <= last; chunk++) failures.chunks.add(chunk);
    if (isBroken && first === last && !failures.met.has(first)) failures.met.set(first, store.promise?.epoch ?? Number.POSITIVE_INFINITY);
  }

  /** Bad sectors that are none any more are not met. Called before one is made where another one was. */
  forgetHealed(canRead: (node: SimulatedStorageNode, chunk: number) => boolean): void {
    for (const [node, { met }] of this.#failures) {
      for (const chunk of met.keys()) if (canRead(node, chunk)) met.delete(chunk);
    }
  }

  /** Whether the process that runs may have said that it can't read the chunk. */
  mayHave(node: SimulatedStorageNode, chunk: number): boolean {
    return this.#of(node)?.chunks.has(chunk) === true;
  }

  /** Whether the process that runs has met a bad sector of the chunk, which is there still, before it granted this epoch. */
  metBefore(node: SimulatedStorageNode, chunk: number, epoch: number): boolean {
    return (this.#of(node)?.met.get(chunk) ?? epoch) < epoch;
  }

  #of(node: SimulatedStorageNode): Failures | undefined {
    const failures = this.#failures.get(node);
    return failures?.store === node.store ? failures : undefined;
  }
}

/** Those of one process: it forgets them when it ends. */
interface Failures {
  readonly store: object;
  /** Chunks in which a read has failed, or may have. */
  readonly chunks: Set<number>;
  /** By chunk with a bad sector that a read of this chunk alone has met: the epoch that was promised at that time. */
  readonly met: Map<number, number>;
}
