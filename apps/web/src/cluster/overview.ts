import type { HealthLevel, NodeStatus } from '@rmr/admin-api';

/** Everything that the page shows, observed at one moment. */
export interface Overview {
  /** ISO 8601, UTC. */
  readonly observedAt: string;
  readonly health: OverviewHealth;
  readonly nbdUri: string | null;
  readonly nodes: readonly ObservedNode[];
}

/** One daemon as the page sees it: what is known of it, and either its answer or why there is none. */
export interface ObservedNode {
  readonly name: string;
  readonly role: 'storage-node' | 'client-node' | 'unknown';
  readonly admin: string;
  /** Null when the cluster file says that it is stopped; undefined when nothing says. */
  readonly pid: number | null | undefined;
  readonly status: NodeStatus | null;
  /** Why there is no status; null when there is one. */
  readonly error: string | null;
}

/** `unknown`: a daemon that would have to say so could not be asked. */
export type OverviewLevel = HealthLevel | 'unknown';

export interface OverviewHealth {
  readonly level: OverviewLevel;
  /** Answers, first of all: is the data safe, and if not, what is it waiting for? */
  readonly sentence: string;
}
