import type { SimulatedCluster } from './cluster.ts';
import type { SimulatedStorageNode } from './simulated-nodes.ts';

/** What aimed faults need from the code that draws them. */
export interface FaultContext {
  readonly cluster: SimulatedCluster;
  /** Whether faults are made still. */
  readonly on: boolean;
  /** The client dies, and another is started later; false: there is none. */
  crashClient(): boolean;
  /** A sector of the chunk goes bad on the member's disk; false: another member has to keep a good copy, and none would. */
  breakSector(node: SimulatedStorageNode, chunk: number): boolean;
  /** An operator takes a member out, and lets it in again later. */
  takeOut(node: SimulatedStorageNode): void;
  /** An operator adds a member, and asks for it until it is one; null: not now. */
  addMember(): SimulatedStorageNode | null;
}

/** How long a moment to strike is waited for. */
const MOMENT_AWAITED_MS = 6_000;

/** What is waited for by {@link strikeWhen}. */
export interface AwaitedMoment {
  /** Whether what is struck is still there. */
  readonly wanted: () => boolean;
  /** Whether this is the moment. */
  readonly condition: () => boolean;
  readonly strike: () => void;
  /** Called in any case, struck or not. */
  readonly after?: () => void;
}

/** Strikes at the first moment at which the condition holds, unless what is struck is gone by then or it takes too long. */
export function strikeWhen(context: FaultContext, { wanted, condition, strike, after }: AwaitedMoment): void {
  const { world } = context.cluster;
  const untilMs = world.scheduler.nowMs + MOMENT_AWAITED_MS;
  const look = (): void => {
    const inVain = !context.on || !wanted() || world.scheduler.nowMs >= untilMs;
    if (!inVain && !condition()) {
      world.after(1, look);
      return;
    }
    if (!inVain) strike();
    after?.();
  };
  look();
}
