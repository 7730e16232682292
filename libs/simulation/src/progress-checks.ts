import { formatVersion, MessageType, type PoolClientStatus, type WaitingFor } from '@rmr/rmr';
import type { SimulatedCluster } from './cluster.ts';
import type { SimulatedClient, SimulatedStorageNode } from './simulated-nodes.ts';
import type { Operation, Workload } from './workload.ts';

/**
 * IO of a pool that is served goes on or says why it does not: a leg that leaves it unanswered leaves (L7), and what else it
 * waits for is in the status (I11). Seen from outside: in the status, and in how old the oldest operation is.
 */
export class ProgressChecks {
  readonly #cluster: SimulatedCluster;
  readonly #workload: Workload;
  /** What every wall clock shows beyond its monotonic clock until it is set. */
  readonly #wallOffsetMs: number;
  #watch: Watch | null = null;
  /** How often in a row requests were seen at a node that wait for a chunk which they should have passed by. */
  readonly #stuck = new Map<SimulatedStorageNode, number>();
  /** By node and chunk that IO waits for: since when a source can read it that the node does not ask, as it could not (the node's clock). */
  readonly #unasked = new Map<SimulatedStorageNode, Map<number, number>>();

  constructor(cluster: SimulatedCluster, workload: Workload) {
    this.#cluster = cluster;
    this.#workload = workload;
    const { clock } = cluster.world;
    this.#wallOffsetMs = clock.wallMs() - clock.nowMs();
  }

  /** Every tick. */
  tick(): void {
    this.#checkNodeWaits();
    const { client } = this.#cluster;
    if (client === null) {
      this.#watch = null;
      return;
    }
    const status = client.pool.status();
    const oldest = this.#oldestOf(client);
    checkNames(status);
    this.#checkTimes(client, status, oldest);
    checkLastLeg(status);
    this.#checkOldest(client, status, oldest);
  }

  #oldestOf(client: SimulatedClient): Operation | null {
    for (const operation of this.#workload.operations) if (operation.client === client) return operation;
    return null;
  }

  /** W10: nothing waits for long for a chunk that another member of the set has, unless that is being written. */
  #checkPassedBy(node: SimulatedStorageNode): void {
    const { rmr, host, paused } = node;
    const [pool] = rmr?.pools() ?? [];
    const isStuck = (pool?.waits() ?? []).some(({ chunk, sinceMs }) => {
      if (pool === undefined || host === null || pool.resync.isLocked(chunk, 1)) return false;
      return this.#isHeld(node, chunk) && !couldNotRead(pool, chunk) && host.clock.wallMs() - sinceMs > PASSED_BY_MS;
    });
    const isUnasked = this.#isUnasked(node, pool);
    // One that was paused looks at what waits when it goes on.
    const times = (isStuck || isUnasked) && !paused ? (this.#stuck.get(node) ?? 0) + 1 : 0;
    this.#stuck.set(node, times);
    if (times > STUCK_MAX) fail('W10', `requests wait at ${node.name} for a chunk that another member of the set has`);
  }

  /**
   * Whether a source that could not read a chunk should have been asked again. A request is given back before that time is over, so the
   * chunk is followed and not the request.
   */
  #isUnasked(node: SimulatedStorageNode, pool: Pool | undefined): boolean {
    const { host } = node;
    if (pool === undefined || host === null) {
      this.#unasked.delete(node);
      return false;
    }
    const nowMs = host.clock.nowMs();
    const unasked = this.#unasked.get(node) ?? new Map<number, number>();
    this.#unasked.set(node, unasked);
    for (const { chunk } of pool.waits()) if (!unasked.has(chunk)) unasked.set(chunk, nowMs);
    for (const chunk of unasked.keys()) if (!this.#isHeld(node, chunk) || !couldNotRead(pool, chunk)) unasked.delete(chunk);
    return [...unasked.values()].some((sinceMs) => nowMs - sinceMs > ASKED_AGAIN_MS + PASSED_BY_MS);
  }

  /** Whether the node lacks the chunk, and another member of the set has it and can read it. */
  #isHeld({ store, memberId: own }: SimulatedStorageNode, chunk: number): boolean {
    return (
      store !== null &&
      store.dirtyMap(own)?.test(chunk) === true &&
      (store.version?.inSync ?? []).some(
        ({ memberId }) => memberId !== own && !store.dirtyMap(memberId)?.test(chunk) && this.#canRead(memberId, chunk),
      )
    );
  }

  #canRead(memberId: number, chunk: number): boolean {
    const { geometry } = this.#cluster;
    const node = this.#cluster.node(memberId);
    const dataOffset = (node?.store ?? node?.lastStore)?.bitmapStore.dataOffset;
    return (
      node !== undefined &&
      dataOffset !== undefined &&
      !node.disk.isBroken(dataOffset + chunk * geometry.chunkSizeBytes, geometry.bytesOf(chunk))
    );
  }

  /** I11: what a storage node says of requests that wait for chunks. */
  #checkNodeWaits(): void {
    for (const node of this.#cluster.nodes) this.#checkPassedBy(node);
    for (const { name, rmr, host } of this.#cluster.nodes) {
      for (const { what, sinceMs } of rmr?.pools()[0]?.waits() ?? []) {
        if (what === '') fail('I11', `requests wait at ${name}, and it does not say for what`);
        if (host !== null && sinceMs > host.clock.wallMs() + ROUNDING_MS)
          fail('I11', `requests wait at ${name} from a future moment on: ${what}`);
      }
    }
  }

  /** I11: nothing has been waited for since a future moment, or since before anything was there to wait. */
  #checkTimes({ host }: SimulatedClient, status: PoolClientStatus, oldest: Operation | null): void {
    const { clock } = host;
    const wallMs = clock.wallMs();
    const { state, stateSinceMs, oldestIoSinceMs } = status;
    // What is read by chunks is several requests.
    if (oldest !== null && oldest.request.failedMask === 0 && (state === 'SERVING' || state === 'RECOVERING')) {
      const sinceMs = wallMs - clock.nowMs() + oldest.request.submittedAtMs;
      if (oldestIoSinceMs === null || Math.abs(oldestIoSinceMs - sinceMs) > ROUNDING_MS)
        fail('I11', `the oldest IO is from ${sinceMs}, and the status says ${oldestIoSinceMs}`);
    }
    // What a wall clock said before it was set means nothing.
    if (Math.abs(wallMs - clock.nowMs() - this.#wallOffsetMs) > ROUNDING_MS) return;
    // A client that is being stopped has waited for some of it before.
    const earliestMs = state === 'SERVING' ? Math.min(stateSinceMs, oldestIoSinceMs ?? stateSinceMs) : Number.NEGATIVE_INFINITY;
    for (const { what, sinceMs } of status.waits) {
      if (sinceMs > wallMs + ROUNDING_MS) fail('I11', `IO waits from a future moment on: ${what}`);
      if (sinceMs < earliestMs - ROUNDING_MS)
        fail('I11', `IO has waited for ${earliestMs - sinceMs} ms longer than there was any: ${what}`);
    }
    for (const { waitingFor } of [status, ...status.legs]) {
      if (waitingFor !== null && waitingFor.sinceMs > wallMs + ROUNDING_MS)
        fail('I11', `something is waited for from a future moment on: ${waitingFor.what}`);
    }
  }

  /** L7: a leg that has not answered leaves while there is another that does. I11: and what else holds up an operation is named. */
  #checkOldest(client: SimulatedClient, status: PoolClientStatus, operation: Operation | null): void {
    const watch = this.#watched(client, status, operation);
    this.#watch = watch;
    if (watch === null) return;
    const { nowMs } = this.#cluster.world.scheduler;
    const { geometry } = this.#cluster;
    const inSync = status.legs.filter((leg) => leg.inSync);
    const hasRoom = status.executing < geometry.queueDepth && inSync.every((leg) => leg.inFlight < geometry.queueDepth);
    if (hasRoom) watch.readyMs ??= nowMs;
    for (const leg of inSync) if (leg.inFlight === 0) watch.idleMs.set(leg.memberId, nowMs);
    if (watch.readyMs === null) return;
    const sentMs = watch.readyMs + SENT_MS;
    const underWay = `an operation of type ${watch.operation.request.type} that began at ${watch.operation.beganMs} ms`;
    const slow = inSync.filter(({ memberId }) => (watch.idleMs.get(memberId) ?? 0) <= sentMs).map((leg) => leg.name);
    if (nowMs - sentMs >= NAMED_MS && slow.length === 0)
      fail('I11', `${underWay} has been answered by every leg, or never sent, and nothing says what it waits for`);
    const timeoutMs = client.pool.options.legTimeoutMs ?? Number.POSITIVE_INFINITY;
    const isPrompt = ({ memberId }: Leg): boolean => {
      const idleMs = watch.idleMs.get(memberId) ?? 0;
      return idleMs > sentMs && nowMs - idleMs < timeoutMs * CLOCK_RATE_MIN;
    };
    if (nowMs < sentMs + timeoutMs / CLOCK_RATE_MIN || !inSync.some(isPrompt)) watch.overdueMs = null;
    else watch.overdueMs ??= nowMs;
    if (watch.overdueMs === null || nowMs - watch.overdueMs < LEAVING_MS) return;
    fail('L7', `${underWay} is unanswered by ${slow.join(' or ')} for more than ${timeoutMs} ms, and nobody leaves`);
  }

  /** The oldest operation, watched on or anew; null: it need not be answered now, or by others than the legs. */
  #watched({ host, paused, pool }: SimulatedClient, status: PoolClientStatus, operation: Operation | null): Watch | null {
    const { state, version, versionChangePending, waits, policy } = status;
    if (operation === null || paused || state !== 'SERVING' || version === null || versionChangePending) return null;
    // As it is the oldest one, whatever is said of it is said since it was submitted.
    const sinceMs = host.clock.wallMs() - host.clock.nowMs() + operation.request.submittedAtMs;
    // That it waits for a leg is what is judged here.
    if (waits.some((wait) => wait.kind !== 'LEG' && wait.sinceMs <= sinceMs + ROUNDING_MS)) return null;
    const { type, failedMask } = operation.request;
    // It goes from one member to the next, by chunks, or waits for one that is away.
    if (failedMask !== 0) return null;
    // It is sent anew whenever the lease had ended before it was answered.
    if (type === MessageType.READ && policy.quorum === 'majority') return null;
    const { bounces, readRetries } = pool.counters;
    const situation = `${version.lineageUuid} ${formatVersion(version)} ${bounces} ${readRetries}`;
    const watch = this.#watch;
    if (watch !== null && watch.operation === operation && watch.situation === situation) return watch;
    return { operation, situation, readyMs: null, idleMs: new Map(), overdueMs: null };
  }
}

/** Clocks run at least this fast, and at most the inverse of it, as the faults have it. */
const CLOCK_RATE_MIN = 0.9;
/** From when a leg has to leave until it has to be gone: several ticks of a client. */
const LEAVING_MS = 1_000;
/** What was ready to be sent has been, after two ticks of a client. */
const SENT_MS = 250;
/** After so long what an operation waits for is named, if it waits for anything. */
const NAMED_MS = 3_000;
/** After so long nothing waits any more for a chunk that can't be had, and that another member has; and so often it is looked at again. */
const PASSED_BY_MS = 2_000;
const STUCK_MAX = 8;
/** A source that could not read a chunk is asked again after so long at most: a disk may take seconds to fail a read. It may have been mended since. */
const ASKED_AGAIN_MS = 10_000;
/** Times are sums of fractions. */
const ROUNDING_MS = 1;
/** The beginning of the reason with which a leg leaves that does not answer. */
const UNANSWERED = 'an IO was not answered';

type Leg = PoolClientStatus['legs'][number];
type Pool = ReturnType<NonNullable<SimulatedStorageNode['rmr']>['pools']>[number];

/** The oldest operation, as long as nothing is known to hold it up but the legs that have not answered it. */
interface Watch {
  readonly operation: Operation;
  /** What has not changed since: the version, and what has been sent anew. */
  readonly situation: string;
  /** There were a unit and permits for it then, and nothing that it had to wait for: it was sent in the next moment at the latest. */
  readyMs: number | null;
  /** When a leg had last answered everything, by member: the operation too, if that had been sent. */
  readonly idleMs: Map<number, number>;
  /** Since when a leg should have left, as another has answered and is not slow. */
  overdueMs: number | null;
}

/** Whether the node does not ask a source for the chunk, as that could not read it a moment ago. */
function couldNotRead(pool: Pool, chunk: number): boolean {
  return pool.resync.sourceOf(chunk).includes("its disk can't read the chunk");
}

/** I11: a client that waits says for what. */
function checkNames({ state, waitingFor, waits, legs }: PoolClientStatus): void {
  if (state === 'RECOVERING' && isUnnamed(waitingFor)) fail('I11', 'the client waits and does not say for what');
  for (const wait of waits) if (wait.what === '') fail('I11', `IO waits and does not say for what: ${wait.kind}`);
  for (const leg of legs) {
    if ((leg.state === 'FAILED' || leg.state === 'RECONNECTING') && leg.reason === '')
      fail('I11', `the leg to ${leg.name} is ${leg.state} and does not say why`);
    if (leg.state !== 'NORMAL' && leg.state !== 'REMOVING' && isUnnamed(leg.waitingFor))
      fail('I11', `the leg to ${leg.name} is ${leg.state} and does not say what it waits for: ${leg.waitingFor?.what ?? 'nothing'}`);
  }
}

function isUnnamed(waitingFor: WaitingFor | null): boolean {
  return waitingFor === null || waitingFor.what === '' || waitingFor.what.endsWith(': ');
}

/** L7: the last one stays, however slow it is. Else all members of the set would have left for that. */
function checkLastLeg({ state, version, legs }: PoolClientStatus): void {
  if (state !== 'RECOVERING' || version === null) return;
  const left = legs.filter((leg) => leg.inSync && leg.state === 'FAILED' && leg.reason.startsWith(UNANSWERED));
  if (left.length === version.inSync.length)
    fail('L7', `the last leg has left: ${left.map(({ name, reason }) => `${name}, ${reason}`).join('; ')}`);
}

function fail(invariant: string, what: string): never {
  throw new Error(`${invariant}: ${what}`);
}
