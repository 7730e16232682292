import { MessageType, type PoolClientStatus } from '@rmr/rmr';
import { randomBelow, SeededRandom, TICK_INTERVAL_MS } from '@rmr/runtime';
import type { FaultContext } from './fault-context.ts';
import type { SimulatedClient, SimulatedStorageNode } from './simulated-nodes.ts';
import type { Workload } from './workload.ts';

/**
 * L7: a host that does not run for most of each period. So its member answers now and then, and paths to it stay open. The pool has to
 * go on without the member. It leaves within a bound, stays out for longer after each return, and its returns cost clients little.
 */
export class StutteringMember {
  readonly counts = new Map<string, number>();
  readonly #context: FaultContext;
  readonly #workload: Workload;
  readonly #random: SeededRandom;
  readonly #wanted: boolean;
  readonly #alone: boolean;
  #stutter: Stutter | null = null;

  /** `only`: kinds of faults. Null: whether it stutters is drawn. */
  constructor(context: FaultContext, workload: Workload, seed: number, only: readonly string[] | null) {
    this.#context = context;
    this.#workload = workload;
    this.#random = new SeededRandom(seed ^ 0x57a7);
    const drawn = this.#below(100) < RUNS_PERCENT;
    this.#wanted = only === null ? drawn : only.includes(STUTTERING_MEMBER);
    this.#alone = this.#wanted && only?.every((kind) => kind === STUTTERING_MEMBER || kind === HARMLESS_BESIDE_IT) === true;
  }

  start(): void {
    if (this.#wanted) this.#later();
  }

  /** Every tick. */
  tick(): void {
    const { client } = this.#cluster;
    if (this.#stutter === null || !this.#alone || client === null || client.paused) return;
    this.#check(this.#stutter, client, client.pool.status());
  }

  #later(): void {
    this.#cluster.world.after(500 + this.#below(3_000), () => {
      if (!this.#context.on) return;
      if (this.#stutter === null) this.#begin();
      this.#later();
    });
  }

  #begin(): void {
    const { nodes, world, settled } = this.#cluster;
    const node = nodes[this.#below(nodes.length)] as SimulatedStorageNode;
    if (!node.running || !settled) return;
    const nowMs = world.scheduler.nowMs;
    const untilMs = nowMs + FOR_MS_MIN + this.#below(FOR_MS_MAX - FOR_MS_MIN);
    const stutter: Stutter = {
      ...{ node, sinceMs: nowMs, stalledSinceMs: null, returns: 0, wasInSync: true, situation: '' },
      ...{ heldMs: 0, busyMs: 0, heldSinceMs: null, returnHoldsSinceMs: null, isKnown: false, holdsSinceMs: null },
    };
    this.#stutter = stutter;
    world.log.info('fault', { kind: STUTTERING_MEMBER, node: node.name });
    this.counts.set(STUTTERING_MEMBER, (this.counts.get(STUTTERING_MEMBER) ?? 0) + 1);
    const { host } = node;
    const stall = (): void => {
      if (!this.#context.on || world.scheduler.nowMs >= untilMs || node.host !== host) {
        this.#stutter = null;
        return;
      }
      node.pause();
      stutter.stalledSinceMs = world.scheduler.nowMs;
      world.after(STALLED_MS_MIN + this.#below(STALLED_MS_MAX - STALLED_MS_MIN), () => {
        stutter.stalledSinceMs = null;
        if (node.host === host) node.resume();
        world.after(1 + this.#below(AWAKE_MS_MAX), stall);
      });
    };
    stall();
  }

  #check(stutter: Stutter, client: SimulatedClient, status: PoolClientStatus): void {
    const { memberId, name } = stutter.node;
    const { nowMs } = this.#cluster.world.scheduler;
    const leg = status.legs.find((each) => each.memberId === memberId);
    if (leg === undefined || status.state !== 'SERVING') return;
    const sinceMs = nowMs - stutter.sinceMs;
    if (leg.inSync && !stutter.wasInSync) stutter.returns++;
    stutter.wasInSync = leg.inSync;
    if (!leg.inSync) stutter.isKnown = leg.reason.includes(HELD_UP);
    if (stutter.returns > RETURNS_FREE + sinceMs / RETURN_EVERY_MS)
      fail('L7', `${name} stutters, and has come back ${stutter.returns} times in ${sinceMs} ms`);
    this.#checkReturn(stutter, status, leg, nowMs);
    this.#checkInSync(stutter, client, status, leg, nowMs);
  }

  /** L4: while it returns IO is held for a moment. */
  #checkReturn(stutter: Stutter, { waits }: PoolClientStatus, leg: Leg, nowMs: number): void {
    const holds = !leg.inSync && waits.some(({ kind, what }) => (kind === 'MAP_UPDATE' || kind === 'VERSION') && what.includes(leg.name));
    stutter.returnHoldsSinceMs = holds ? (stutter.returnHoldsSinceMs ?? nowMs) : null;
    const forMs = holds ? nowMs - (stutter.returnHoldsSinceMs as number) : 0;
    if (forMs > RETURN_COST_MS) fail('L4', `the return of ${leg.name} holds up IO for ${forMs} ms`);
  }

  /** L7: it may hold up IO for so long only. */
  #checkInSync(stutter: Stutter, client: SimulatedClient, status: PoolClientStatus, leg: Leg, nowMs: number): void {
    const { version, legs, versionChangePending } = status;
    const others = legs.filter((each) => each.inSync && each !== leg);
    const situation = `${client.name} ${version?.epoch}.${version?.seq}`;
    this.#checkAgain(stutter, client, leg, versionChangePending ? [] : others, nowMs);
    // What it has to pull first, IO may wait for.
    if (stutter.situation !== situation || versionChangePending || !leg.inSync || others.length === 0 || leg.dirtyBytes !== 0) {
      Object.assign(stutter, { situation, heldMs: 0, busyMs: 0, heldSinceMs: null });
      return;
    }
    if (!legs.some(({ inFlight }) => inFlight > 0)) return;
    stutter.busyMs += TICK_INTERVAL_MS;
    if (this.#isHeldUp(stutter, client, leg, others, nowMs)) {
      stutter.heldMs += TICK_INTERVAL_MS;
      stutter.heldSinceMs ??= nowMs;
    }
    const slowForMs = client.pool.options.legSlowForMs ?? Number.POSITIVE_INFINITY;
    const enoughMs = slowForMs / 3 + LEAVING_MS;
    const tooLong = stutter.heldMs > enoughMs && 2 * stutter.heldMs > stutter.busyMs;
    if (tooLong && nowMs - (stutter.heldSinceMs ?? nowMs) > enoughMs)
      fail('L7', `${leg.name} answers now and then, has held up IO for ${stutter.heldMs} of ${stutter.busyMs} ms, and does not leave`);
  }

  /** L7: what it has to pull first is no excuse any more. */
  #checkAgain(stutter: Stutter, client: SimulatedClient, leg: Leg, others: readonly Leg[], nowMs: number): void {
    const holds = leg.inSync && stutter.isKnown && others.length > 0 && this.#isHeldUp(stutter, client, leg, others, nowMs);
    stutter.holdsSinceMs = holds ? (stutter.holdsSinceMs ?? nowMs) : null;
    const forMs = holds ? nowMs - (stutter.holdsSinceMs as number) : 0;
    if (forMs > RETURN_COST_MS) fail('L7', `${leg.name} has left for holding up IO, has come back, and holds it up for ${forMs} ms`);
  }

  #isHeldUp(stutter: Stutter, client: SimulatedClient, leg: Leg, others: readonly Leg[], nowMs: number): boolean {
    if (stutter.stalledSinceMs === null || nowMs - stutter.stalledSinceMs < HELD_MS) return false;
    if (leg.inFlight === 0 || others.some(({ inFlight }) => inFlight > 0)) return false;
    // That others would have answered a read is found later.
    let reads = 0;
    for (const operation of this.#workload.operations)
      if (operation.client === client && (operation.request.type === MessageType.READ || operation.request.type === MessageType.EXTENTS))
        reads++;
    return 2 * reads <= leg.inFlight;
  }

  get #cluster(): FaultContext['cluster'] {
    return this.#context.cluster;
  }

  #below(bound: number): number {
    return randomBelow(this.#random, bound);
  }
}

/** The name of the fault. */
export const STUTTERING_MEMBER = 'stuttering member';
/** Faults that have nothing to do with how fast members answer: beside these alone the bounds are checked. */
export const HARMLESS_BESIDE_IT = 'wall clock jump';
/** Percentage of runs that have it. */
const RUNS_PERCENT = 12;
/** How long the host does not run, of each period: less than what makes a path dead. And how long it does. */
const STALLED_MS_MIN = 1_200;
const STALLED_MS_MAX = 1_700;
const AWAKE_MS_MAX = 150;
const FOR_MS_MIN = 8_000;
const FOR_MS_MAX = 40_000;
/** From when a leg is seen to hold up IO for long enough until it has to be gone, beyond what the rule gives it. */
const LEAVING_MS = 1_000;
/** In the reason for which it leaves. */
const HELD_UP = 'it held up IO';
/** What has been sent for so long is held up for certain. */
const HELD_MS = 200;
/** Returns of a stuttering member while that goes on: some soon, then fewer. */
const RETURNS_FREE = 6;
const RETURN_EVERY_MS = 8_000;
/** What a return costs clients, at most: IO is held for so long. */
const RETURN_COST_MS = 1_000;

type Leg = PoolClientStatus['legs'][number];

/** A member that stutters, and what was seen of that since. */
interface Stutter {
  readonly node: SimulatedStorageNode;
  readonly sinceMs: number;
  /** Since when its host has not run; null: it runs. */
  stalledSinceMs: number | null;
  returns: number;
  wasInSync: boolean;
  /** What it was seen to hold up under one version, in virtual milliseconds. */
  situation: string;
  heldMs: number;
  busyMs: number;
  heldSinceMs: number | null;
  /** Since when its return has held up IO. */
  returnHoldsSinceMs: number | null;
  /** It has left for holding up IO: it may do so for a moment only. And since when it does without a break. */
  isKnown: boolean;
  holdsSinceMs: number | null;
}

function fail(rule: string, what: string): never {
  throw new Error(`${rule}: ${what}`);
}
