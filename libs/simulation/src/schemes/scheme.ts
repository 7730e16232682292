import { randomBelow, SeededRandom } from '@rmr/runtime';
import type { SimulatedCluster } from '../cluster.ts';
import { type AwaitedMoment, type FaultContext, strikeWhen } from '../fault-context.ts';
import type { Moments } from '../moments.ts';
import type { SimulatedClient, SimulatedStorageNode } from '../simulated-nodes.ts';
import type { Workload } from '../workload.ts';

/**
 * Faults in several steps. Each step waits until the one before has had its effect. By chance such a sequence comes about once in thousands
 * of runs.
 */
export interface Scheme {
  readonly name: string;
  /** Begins it with a client that serves, and the members of its set that have their stores open. It may decline. */
  readonly begin: (stage: Stage, client: SimulatedClient, inSync: readonly SimulatedStorageNode[]) => void;
}

/** What schemes are made of. They draw from a source of their own, so that all other runs are what they were without them. */
export class Stage {
  readonly context: FaultContext;
  readonly workload: Workload;
  readonly moments: Moments;
  readonly #random: SeededRandom;

  constructor(context: FaultContext, workload: Workload, moments: Moments, seed: number) {
    this.context = context;
    this.workload = workload;
    this.moments = moments;
    this.#random = new SeededRandom(seed ^ 0x8c0b);
  }

  get cluster(): SimulatedCluster {
    return this.context.cluster;
  }

  /** Whether the client is still the one in use, and faults are made still. */
  isStill(client: SimulatedClient): boolean {
    return this.context.on && this.cluster.client === client;
  }

  /** Whether the member is in the set, and no version change is under way. */
  isIn(node: SimulatedStorageNode): boolean {
    return this.cluster.settled && this.cluster.inSync().includes(node);
  }

  /** Whether the member is out of the set, and no version change is under way. */
  isOut(node: SimulatedStorageNode): boolean {
    return this.cluster.settled && !this.cluster.inSync().includes(node);
  }

  /** Strikes at the first moment at which the condition holds, as long as the client is the one in use. */
  when(client: SimulatedClient, moment: Omit<AwaitedMoment, 'wanted'>): void {
    strikeWhen(this.context, { wanted: () => this.cluster.client === client, ...moment });
  }

  /** No connections between the hosts and the node, until the result is called. */
  cutOff(hosts: readonly { readonly name: string }[], node: SimulatedStorageNode): () => void {
    const { network } = this.cluster;
    for (const { name } of hosts) {
      network.cut(name, node.name);
      network.partition(name, node.name);
    }
    return () => {
      for (const { name } of hosts) network.heal(name, node.name);
    };
  }

  shuffled<T>(list: readonly T[]): T[] {
    const left = [...list];
    return list.map(() => left.splice(this.below(left.length), 1)[0] as T);
  }

  oneOf<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  below(bound: number): number {
    return randomBelow(this.#random, bound);
  }
}
