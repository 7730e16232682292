/** The events of all nodes, merged by time. */
import type { EventPageInput, EventView } from '@rmr/admin-api';
import type { Cluster } from './cluster-file.ts';
import { attempt } from './observe.ts';
import { type Unheard, unheardOf } from './operations.ts';
import { compare } from './volumes.ts';

/** Follows the events of all nodes. Those of a node that was away come when it is back; what it has dropped meanwhile is told as a gap. */
export class EventFollower {
  readonly #cluster: Cluster;
  readonly #filter: EventFilter;
  /** By name of the node: the number of the newest event that was seen. A node that is not in it has not answered yet. */
  readonly #seen = new Map<string, number>();
  readonly #silent = new Set<string>();

  constructor(cluster: Cluster, filter: EventFilter = {}) {
    this.#cluster = cluster;
    this.#filter = filter;
  }

  /** The events since the last call. The first call gives none: it looks where each node is. */
  async next(): Promise<EventNews> {
    const nodes = this.#cluster.nodes.filter(({ name }) => this.#filter.node === undefined || name === this.#filter.node);
    const { severity = null, target = null } = this.#filter;
    const heard = await Promise.all(
      nodes.map(async (node) => {
        const after = this.#seen.get(node.name);
        const page = after === undefined ? { limit: 1 } : { after, severity, target, limit: PAGE };
        return { node, after, ...(await attempt(node, (admin) => admin.event.page.query(page))) };
      }),
    );
    const lists: EventPicture[][] = [];
    const gaps: string[] = [];
    const lost: Unheard[] = [];
    const found: string[] = [];
    for (const { node, after, answer, problem } of heard) {
      const { name } = node;
      if (problem !== null) {
        if (!this.#silent.has(name)) lost.push({ node: name, why: problem.message });
        this.#silent.add(name);
        continue;
      }
      if (this.#silent.delete(name)) found.push(name);
      const { events, newest, gap } = answer;
      if (after !== undefined) lists.push(events.map((event) => ({ node: name, ...event })));
      if (after !== undefined && gap) gaps.push(name);
      // A page that is full has more behind it. One that is not has all that fits the filter, up to the newest.
      this.#seen.set(name, after !== undefined && events.length === PAGE ? (events.at(-1)?.number ?? newest) : newest);
    }
    return { events: merged(lists), unheard: unheardOf(heard), gaps, lost, found };
  }
}

/** An event, with the node that keeps it. */
export type EventPicture = EventView & { readonly node: string };

export interface EventFilter {
  /** The least severity. */
  readonly severity?: EventPageInput['severity'] | undefined;
  /** The UUID of a volume or a store, or the name of a disk. */
  readonly target?: string | null | undefined;
  /** The name of a node. */
  readonly node?: string | undefined;
}

export interface EventList {
  /** The oldest first. */
  readonly events: readonly EventPicture[];
  readonly unheard: readonly Unheard[];
  /** Nodes that have dropped events which were asked for. */
  readonly gaps: readonly string[];
}

/** How many events a node is asked for at once: the most that it gives. */
const PAGE = 500;

/** The newest `limit` events of all nodes together. */
export async function newestEvents(cluster: Cluster, limit: number, filter: EventFilter = {}): Promise<EventList> {
  const nodes = cluster.nodes.filter(({ name }) => filter.node === undefined || name === filter.node);
  const { severity = null, target = null } = filter;
  const heard = await Promise.all(
    nodes.map(async (node) => ({
      node,
      ...(await attempt(node, (admin) => admin.event.page.query({ severity, target, limit: Math.min(PAGE, limit) }))),
    })),
  );
  const events = merged(heard.map(({ node, answer }) => (answer?.events ?? []).map((event) => ({ node: node.name, ...event }))));
  return { events: events.slice(-limit), unheard: unheardOf(heard), gaps: [] };
}

function merged(lists: readonly (readonly EventPicture[])[]): readonly EventPicture[] {
  return lists.flat().sort((a, b) => compare(a.at, b.at) || compare(a.node, b.node) || a.number - b.number);
}

/** What came since the last look. */
export interface EventNews extends EventList {
  /** Nodes that did not answer now and did before, and those that answer again. Both are named once. */
  readonly lost: readonly Unheard[];
  readonly found: readonly string[];
}
