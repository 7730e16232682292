import {
  kill,
  layout,
  logTail,
  losePower,
  pauseNode,
  processStates,
  readClusterFile,
  report,
  resumeNode,
  serves,
  setPartition,
  start,
} from '@rmr/cluster';
import { OperationError } from '@rmr/runtime';
import { describeStep, type FaultKind, type FaultTargets, type Step } from './fault-plan.ts';
import { pause } from './waiting.ts';

/** Carries out the steps of rounds, and undoes what is left of them. */
export class FaultRunner {
  /** Faults so far, by kind. */
  readonly counts = new Map<FaultKind, number>();
  readonly #directory: string;
  readonly #targets: FaultTargets;
  readonly #observer: FaultObserver;
  readonly #say: (line: string) => void;
  readonly #down = new Set<string>();
  /** Members that had a fault in this round: they may be out of the in-sync set. */
  readonly #disturbed = new Set<string>();
  #client: string;
  #powerLost = false;

  constructor(directory: string, targets: FaultTargets, observer: FaultObserver, say: (line: string) => void) {
    this.#directory = directory;
    this.#targets = targets;
    this.#observer = observer;
    this.#say = say;
    this.#client = targets.clients[0] as string;
    for (const name of targets.clients.slice(1)) this.#down.add(name);
  }

  /** The client node that is meant to serve. */
  get client(): string {
    return this.#client;
  }

  /** Whether a node has lost power since the last round: flushes may fail then. */
  get powerLost(): boolean {
    return this.#powerLost;
  }

  /** A new round: all members are known to agree, and everything is durable. */
  beginRound(): void {
    this.#disturbed.clear();
    this.#powerLost = false;
  }

  /** Carries out the steps, each when it is time. `check` throws when there is no reason to go on. */
  async run(steps: readonly Step[], check: () => void): Promise<void> {
    const began = performance.now();
    let last: string | null = null;
    for (const step of steps) {
      while (performance.now() - began < step.atMs) {
        check();
        await pause(Math.min(LOOK_MS, step.atMs));
      }
      if (isBeginning(step)) this.#count(step.fault);
      this.#say(describeStep(step));
      await this.#carryOut(step);
      last = describeStep(step);
      this.checkAlive(last);
      check();
    }
  }

  /** Undoes whatever is left of faults. */
  async heal(): Promise<void> {
    const { partitions } = await report(this.#directory);
    for (const [a, b] of partitions) await setPartition(this.#directory, a, b, false);
    for (const [name, state] of processStates(this.#directory)) {
      if (state === 'paused') await resumeNode(this.#directory, name);
    }
    const { members, witnesses } = this.#targets;
    const missing = [...members, ...witnesses, this.#client].filter((name) => this.#down.has(name));
    if (missing.length > 0) await this.#start(missing);
  }

  /** Throws when a node has ended that nobody killed. */
  checkAlive(after: string): void {
    for (const [name, state] of processStates(this.#directory)) {
      if (state !== 'stopped' || this.#down.has(name)) continue;
      const log = layout.log(this.#directory, name);
      throw new OperationError('UNAVAILABLE', `${name} has ended by itself after "${after}". The last lines of ${log}:\n${logTail(log)}`);
    }
  }

  async #carryOut(step: Step): Promise<void> {
    this.#disturb(step.nodes);
    switch (step.deed) {
      case 'kill':
        return await this.#kill(step.nodes, false);
      case 'lose-power':
        return await this.#kill(step.nodes, true);
      case 'start':
        return await this.#start(step.nodes);
      case 'pause':
        for (const name of step.nodes) await pauseNode(this.#directory, name);
        return;
      case 'resume':
        for (const name of step.nodes) await resumeNode(this.#directory, name);
        return;
      case 'cut':
      case 'join':
        return await setPartition(this.#directory, ...step.nodes, step.deed === 'cut');
      case 'take-over':
        return await this.#takeOver(...step.nodes, step.after);
    }
  }

  #disturb(nodes: readonly string[]): void {
    for (const name of nodes) if (this.#targets.members.includes(name)) this.#disturbed.add(name);
  }

  async #kill(nodes: readonly string[], power: boolean): Promise<void> {
    for (const name of nodes) this.#down.add(name);
    if (nodes.includes(this.#client)) this.#observer.serverLost();
    await (power ? losePower : kill)(this.#directory, nodes);
    const { members, volatileCache } = this.#targets;
    if (!power || !nodes.some((name) => members.includes(name))) return;
    this.#powerLost = true;
    // A member that had no fault at all has been in sync, and has everything.
    if (volatileCache && members.every((name) => this.#disturbed.has(name))) this.#observer.volatileLost();
  }

  async #start(nodes: readonly string[]): Promise<void> {
    await start(this.#directory, nodes);
    for (const name of nodes) this.#down.delete(name);
  }

  async #takeOver(from: string, to: string, after: 'kill' | 'pause'): Promise<void> {
    this.#observer.serverLost();
    this.#client = to;
    if (after === 'kill') {
      await this.#kill([from], false);
      return await this.#start([to]);
    }
    // One that never got as far as serving may go on waiting for its turn.
    const allowed = (await this.#poolState(from)) === 'SERVING' ? ['STOPPED'] : ['STOPPED', 'WAITING'];
    await pauseNode(this.#directory, from);
    await this.#start([to]);
    if (await this.#waitFor(TAKE_OVER_MS_MAX, async () => (await this.#poolState(to)) === 'SERVING')) {
      this.#observer.serverReplaced();
      await resumeNode(this.#directory, from);
      // I7: one client node serves, and the other one knows that it does not.
      if (!(await this.#waitFor(NOTICE_MS_MAX, async () => allowed.includes(await this.#poolState(from))))) {
        throw new OperationError(
          'CONFLICT',
          `${from} was paused while ${to} took the pool over; ${NOTICE_MS_MAX / 1000} s after it came back it is ${await this.#poolState(from)}, and has to be ${allowed.join(' or ')} (I7)`,
        );
      }
    } else {
      this.#say(`${to} does not serve yet; ${from} is killed without a chance to come back`);
    }
    this.#down.add(from);
    await kill(this.#directory, [from]);
  }

  async #poolState(client: string): Promise<string> {
    const { clients } = await report(this.#directory);
    const status = clients.find((each) => each.node.name === client);
    if (status === undefined) return 'silent';
    return serves(status) ? 'SERVING' : (status.pools[0]?.state ?? 'without a pool');
  }

  async #waitFor(timeoutMs: number, condition: () => Promise<boolean>): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (performance.now() < deadline) {
      if (await condition()) return true;
      await pause(LOOK_MS);
    }
    return false;
  }

  #count(kind: FaultKind): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }
}

/** How long a rival may take to serve after the old client node was paused; its sessions have to be given up first. */
const TAKE_OVER_MS_MAX = 15_000;
/** How long a client node that came back too late may take to notice. */
const NOTICE_MS_MAX = 30_000;
const LOOK_MS = 50;

/** Is told what a fault means for the users of the device. */
export interface FaultObserver {
  /** The process that serves the device is gone, or about to be replaced. */
  serverLost(): void;
  /** No connection to the former client node may be used from now on: another one serves. */
  serverReplaced(): void;
  /** Everything that was not flushed may be gone. */
  volatileLost(): void;
}

/** Whether a fault begins with this step. A step may also undo a fault, or be the second part of a half write. */
function isBeginning({ deed, fault }: Step): boolean {
  if (fault === 'half-write') return deed === 'pause';
  return deed !== 'start' && deed !== 'resume' && deed !== 'join';
}

/** The address at which a client node serves. Null while it does not run. */
export function endpointUri(directory: string, client: string): { readonly uri: string; readonly instance: string } | null {
  const node = readClusterFile(directory).clientNodes.find((each) => each.name === client);
  if (node === undefined || node.pid === null) return null;
  return { uri: node.nbdUri, instance: `${node.name} ${node.pid}` };
}
