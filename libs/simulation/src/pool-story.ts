import { createStore, storeBytes } from '@rmr/bitmap-store';
import { IoRequest, MessageType, type PoolClientStatus } from '@rmr/rmr';
import { randomUuid, Status, statusName } from '@rmr/runtime';
import { MemoryDisk, MemoryNetwork, VirtualWorld } from '@rmr/testing';
import { addressOf, SimulatedClient, type SimulatedPool, SimulatedStorageNode } from './simulated-nodes.ts';

/**
 * A whole pool that a test tells what happens to it, one line a step: `pool.member(2).crash()`, `pool.untilServed()`. Nothing is drawn
 * by chance but what the network and the disks do within a millisecond. A write fills a chunk with one value, and a read of a chunk
 * ends with the value that fills it.
 */
export class PoolStory {
  readonly #world = new VirtualWorld(1);
  readonly #network = new MemoryNetwork(this.#world, { delayMsMin: 0.05, delayMsMax: 0.5 });
  readonly #simulated: SimulatedPool = {
    ...{ world: this.#world, network: this.#network, poolUuid: randomUuid(this.#world.random), queueDepth: QUEUE_DEPTH },
    ...{ heartbeatIntervalMs: 500, deadAfterMs: 2_000, legTimeoutMs: 30_000, legSlowForMs: 30_000, legReturnDelayMsMax: 30_000 },
    ...{ readPolicy: 'round-robin', pathCount: 1, quorum: 'none', resyncRateBytes: null, ioTimeoutMs: null },
  };
  readonly #members: readonly StoryMember[];
  #client: SimulatedClient;
  #clientCount = 1;

  /** The pool is born, and its members are in sync. */
  constructor(memberCount: number) {
    const ids = Array.from({ length: memberCount }, (_, index) => index + 1);
    const nodes = ids.map((memberId) => new SimulatedStorageNode(this.#simulated, memberId, this.#emptyDisk(memberId)));
    this.#members = nodes.map((node) => new StoryMember(this, node));
    for (const node of nodes) node.start();
    this.#client = this.#newClient();
    this.untilStatus('all members to be reached', ({ legs }) => legs.every(({ connected }) => connected));
    this.#client.pool.create((error) => {
      if (error !== null) throw error;
    });
    this.untilServed();
  }

  /** The member with this id, from 1 on. */
  member(memberId: number): StoryMember {
    return this.#members[memberId - 1] as StoryMember;
  }

  get status(): PoolClientStatus {
    return this.#client.pool.status();
  }

  /** A write of the whole chunk begins. */
  write(chunk: number, value: number): StoryRequest {
    return this.#submit(MessageType.WRITE, chunk, new Uint8Array(CHUNK_BYTES).fill(value));
  }

  /** A read of the whole chunk begins. */
  read(chunk: number): StoryRequest {
    return this.#submit(MessageType.READ, chunk, null);
  }

  flush(): StoryRequest {
    return this.#submit(MessageType.FLUSH, 0, null);
  }

  /** The client's process dies. Nobody hears of what was under way. */
  crashClient(): void {
    this.#client.crash();
  }

  /** Another client starts, in the place of one that has died. */
  startClient(): void {
    this.#client = this.#newClient();
  }

  /** An operator forces the pool into service with the members that are there. */
  force(): void {
    this.#client.pool.force();
  }

  /** Virtual time passes. */
  run(durationMs: number): void {
    for (let leftMs = durationMs; leftMs > 0; leftMs -= LOOK_MS) {
      this.#world.run(LOOK_MS);
      this.#client.verify();
      for (const { node } of this.#members) node.verify();
    }
  }

  /** Time passes until IO is served, and no version is being recorded. */
  untilServed(): void {
    this.untilStatus('the pool to be served', ({ state, versionChangePending }) => state === 'SERVING' && !versionChangePending);
  }

  /** Time passes until the client's status shows this. */
  untilStatus(what: string, isSo: (status: PoolClientStatus) => boolean): void {
    this.until(what, () => isSo(this.status));
  }

  /** Time passes until this is so: 60 virtual seconds at most. */
  until(what: string, isSo: () => boolean): void {
    for (let leftMs = PATIENCE_MS; leftMs > 0; leftMs -= LOOK_MS) {
      if (isSo()) return;
      this.run(LOOK_MS);
    }
    throw new Error(`waited for ${what} in vain: ${JSON.stringify(this.status)}`);
  }

  #submit(type: typeof MessageType.READ | typeof MessageType.WRITE | typeof MessageType.FLUSH, chunk: number, data: Uint8Array | null) {
    const request = new IoRequest({
      onIoDone: (_request, status, payload) => {
        const [value = null] = payload ?? [];
        if (payload?.some((byte) => byte !== value)) throw new Error(`I2: chunk ${chunk} reads as a mix of values`);
        ended.answer = type === MessageType.READ && status === Status.OK ? { status: 'OK', value } : { status: statusName(status) };
      },
    });
    const ended = new StoryRequest(this);
    request.type = type;
    request.offsetBytes = chunk * CHUNK_BYTES;
    request.lengthBytes = type === MessageType.FLUSH ? 0 : CHUNK_BYTES;
    request.payload = data;
    this.#client.pool.submit(request);
    return ended;
  }

  #newClient(): SimulatedClient {
    const addresses = this.#members.map(({ node }) => addressOf(node));
    return new SimulatedClient(this.#simulated, `client-${this.#clientCount++}`, addresses, null, 'NO', () => '');
  }

  #emptyDisk(memberId: number): MemoryDisk {
    const { random } = this.#world;
    const disk = new MemoryDisk({ sizeBytes: storeBytes(SIZE_BYTES, CHUNK_BYTES, QUEUE_DEPTH) });
    createStore(
      disk,
      {
        ...{
          label: `store ${memberId}`,
          storeUuid: randomUuid(random),
          poolUuid: this.#simulated.poolUuid,
          lineageUuid: randomUuid(random),
        },
        ...{ poolName: 'pool', memberId, sizeBytes: SIZE_BYTES, chunkSizeBytes: CHUNK_BYTES, queueDepth: QUEUE_DEPTH },
        ...{ data: 'known', force: true },
      },
      (error) => {
        if (error !== null) throw error;
      },
    );
    return disk;
  }
}

/** A member of the story, with its storage node and its disk. */
export class StoryMember {
  readonly node: SimulatedStorageNode;
  readonly #story: PoolStory;

  constructor(story: PoolStory, node: SimulatedStorageNode) {
    this.#story = story;
    this.node = node;
  }

  /** The process dies. */
  crash(): void {
    this.node.crash();
  }

  /** The process starts. It returns when the client has reached it. */
  start(): void {
    this.node.start();
    this.#story.untilStatus(`member ${this.node.memberId} to be reached`, () => this.#leg.connected);
  }

  /** A request to its disk takes up to this from now on, in virtual milliseconds. */
  slowDown(latencyMs: number): void {
    this.node.diskLatencyMs = latencyMs;
  }

  /** An operator pauses its resync. */
  pauseResync(): void {
    this.node.pauseResync(true);
  }

  /** Its disk can't read the chunk any more. */
  loseChunk(chunk: number): void {
    this.node.disk.breakRange((this.node.store?.bitmapStore.dataOffset ?? 0) + chunk * CHUNK_BYTES, CHUNK_BYTES);
  }

  /** Time passes until it is out of the in-sync set, and others are served. */
  untilOut(): void {
    this.#story.untilStatus(
      `member ${this.node.memberId} to be out`,
      ({ versionChangePending }) => !this.#leg.inSync && !versionChangePending,
    );
  }

  /** Time passes until it is in the in-sync set and serves, whatever it still lacks. */
  untilBack(): void {
    this.#story.untilStatus(`member ${this.node.memberId} to be back`, () => this.#leg.inSync && this.#leg.state === 'NORMAL');
  }

  /** Time passes until it is in the in-sync set, serves, and lacks nothing. */
  untilWhole(): void {
    this.#story.untilStatus(
      `member ${this.node.memberId} to be whole`,
      () => this.#leg.inSync && this.#leg.state === 'NORMAL' && this.#leg.dirtyBytes === 0,
    );
  }

  get #leg(): PoolClientStatus['legs'][number] {
    return this.#story.status.legs.find(({ memberId }) => memberId === this.node.memberId) as PoolClientStatus['legs'][number];
  }
}

/** A request of the story. */
export class StoryRequest {
  /** Null: it has not ended. */
  answer: StoryAnswer | null = null;
  readonly #story: PoolStory;

  constructor(story: PoolStory) {
    this.#story = story;
  }

  /** Time passes until it has ended. How it ended. */
  end(): StoryAnswer {
    this.#story.until('a request to end', () => this.answer !== null);
    return this.answer as StoryAnswer;
  }
}

/** How a request ended. `value`: what fills the chunk that was read. */
export interface StoryAnswer {
  readonly status: string;
  readonly value?: number | null;
}

const CHUNK_BYTES = 4096;
const CHUNK_COUNT = 16;
const SIZE_BYTES = CHUNK_BYTES * CHUNK_COUNT;
const QUEUE_DEPTH = 8;
/** How often the pool is looked at, in virtual milliseconds. */
const LOOK_MS = 5;
/** In which whatever is waited for has to come about, in virtual milliseconds. */
const PATIENCE_MS = 60_000;
