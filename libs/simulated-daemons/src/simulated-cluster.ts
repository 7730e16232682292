/** A cluster of simulated daemons: real HTTP servers with the admin interface of the daemons, over state that a test changes. */
import type { AdminService, EventPage, EventPageInput, EventView } from '@rmr/admin-api';
import { type AdminServer, Metrics, startAdminServer } from '@rmr/daemon';
import { SILENT_LOGGER } from '@rmr/runtime';
import { SimulatedDriver } from './driver.ts';
import type { SimulatedDisk, SimulatedState } from './model.ts';
import { clientNodeStatus, diskStatuses, storageNodeStatus } from './statuses.ts';

export class SimulatedCluster {
  readonly state: SimulatedState = { volumes: [], disks: new Map() };
  readonly #nodes: SimulatedNode[] = [];

  /** Starts every daemon on a free port of loopback. */
  static async start(options: SimulatedClusterOptions): Promise<SimulatedCluster> {
    const cluster = new SimulatedCluster();
    const names = [...Object.keys(options.storage), ...options.clients];
    for (const [name, disks] of Object.entries(options.storage)) {
      cluster.state.disks.set(name, [...disks]);
      const host = names.indexOf(options.sameHost?.[name] ?? name);
      await cluster.#add(name, 'storage-node', names.indexOf(name), host);
    }
    for (const name of options.clients) await cluster.#add(name, 'client-node', names.indexOf(name), names.indexOf(name));
    return cluster;
  }

  get nodes(): readonly SimulatedNode[] {
    return this.#nodes;
  }

  /** The daemon with this name. Throws if there is none. */
  node(name: string): SimulatedNode {
    const node = this.#nodes.find((each) => each.name === name);
    if (node === undefined) throw new Error(`no simulated daemon is called ${name}`);
    return node;
  }

  /** The driver of a client node. Throws for a storage node. */
  driver(name: string): SimulatedDriver {
    const { driver } = this.node(name);
    if (driver === null) throw new Error(`${name} is no client node`);
    return driver;
  }

  /** The cluster file that names these daemons. */
  file(): string {
    const lines = this.#nodes.map(({ name, role, url }) => `  - { name: ${name}, role: ${role}, admin: "${url}" }`);
    return `name: simulated\nnodes:\n${lines.join('\n')}\n`;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop()));
  }

  async #add(name: string, role: SimulatedNode['role'], number: number, host: number): Promise<void> {
    const driver = role === 'client-node' ? new SimulatedDriver(this.state, name, number) : null;
    let server: AdminServer | null = null;
    let hanging: Promise<void> | null = null;
    let release: (() => void) | null = null;
    const answer = async <T>(value: () => T): Promise<T> => {
      await hanging;
      return value();
    };
    const node: SimulatedNode = {
      ...{ name, role, driver, events: [], oldest: 1, asked: 0, url: 'http://127.0.0.1:0' },
      stop: async () => {
        release?.();
        await server?.close();
        server = null;
      },
      start: async () => {
        server = await startAdminServer({ listen: node.url, service, metrics: new Metrics(), log: SILENT_LOGGER });
        node.url = server.url;
      },
      hang: () => {
        hanging = new Promise((resolve) => {
          release = resolve;
        });
        return () => {
          release?.();
          hanging = null;
        };
      },
    };
    const service: AdminService = {
      status: () =>
        answer(() => {
          node.asked++;
          return role === 'client-node'
            ? clientNodeStatus(this.state, name, number, host)
            : storageNodeStatus(this.state, name, number, host);
        }),
      flush: async () => {},
      notReady: () => null,
      events: { page: (input) => answer(() => pageOf(node, input)) },
      ...(driver === null ? {} : { pools: driver.pools(), volumes: driver, operations: driver }),
      ...(driver === null ? { disks: { list: () => answer(() => diskStatuses(this.state, name)) } } : {}),
    };
    await node.start();
    this.#nodes.push(node);
  }
}

/** A simulated daemon. */
export interface SimulatedNode {
  readonly name: string;
  readonly role: 'storage-node' | 'client-node';
  /** Null: a storage node. */
  readonly driver: SimulatedDriver | null;
  readonly events: EventView[];
  /** The number of the oldest event that is still kept. */
  oldest: number;
  /** How often its status was asked for. */
  asked: number;
  /** Where it can be reached, `http://127.0.0.1:PORT`. */
  url: string;
  /** Ends it: connections are refused. */
  stop(): Promise<void>;
  /** Starts it again, at the same address. */
  start(): Promise<void>;
  /** Has it answer nothing any more, until the returned function is called. Connections are taken. */
  hang(): () => void;
}

export interface SimulatedClusterOptions {
  /** The storage nodes, with their disks. */
  readonly storage: Readonly<Record<string, readonly SimulatedDisk[]>>;
  readonly clients: readonly string[];
  /** Storage nodes that run on the host of another one: their name, and that of the other. */
  readonly sameHost?: Readonly<Record<string, string>>;
}

const SEVERITIES = ['info', 'notice', 'warning', 'critical'];

function pageOf({ events, oldest }: SimulatedNode, { after, before, severity, target, limit }: EventPageInput): EventPage {
  const kept = events.filter(({ number }) => number >= oldest);
  const wanted = kept
    .filter((event) => severity === null || SEVERITIES.indexOf(event.severity) >= SEVERITIES.indexOf(severity))
    .filter((event) => target === null || event.target === target)
    .filter(({ number }) => (after === null || number > after) && (before === null || number < before));
  return {
    events: after === null ? wanted.slice(-limit) : wanted.slice(0, limit),
    oldest: kept[0]?.number ?? 0,
    newest: kept.at(-1)?.number ?? 0,
    gap: after !== null && after + 1 < oldest,
  };
}
