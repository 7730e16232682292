/** What every command needs: the cluster, how output is wanted, and the ways to ask and to confirm. */
import { createInterface } from 'node:readline/promises';
import type { AdminClient, OperationView } from '@rmr/admin-api';
import { ask, type Cluster, type ClusterNode, type Observation, observe, type VolumePicture } from '@rmr/cluster-view';
import { OperationError, parseDuration } from '@rmr/runtime';
import { stringify } from 'yaml';
import { clusterOf } from './context.ts';
import { showOperation } from './progress.ts';
import { findVolume } from './screens.ts';
import { lookOf, Painter } from './terminal.ts';

/** The flags that every command takes. */
export interface GlobalFlags {
  readonly cluster?: string;
  readonly context?: string;
  readonly output: 'table' | 'json' | 'yaml';
  readonly ascii?: true;
  readonly uuids?: true;
}

/** The flags of commands that start an operation. */
export interface OrderFlags {
  readonly wait: boolean;
  readonly timeout?: string;
}

export class Session {
  readonly flags: GlobalFlags;
  readonly painter: Painter;
  readonly cluster: Cluster;

  constructor(flags: GlobalFlags) {
    this.flags = flags;
    if (!['table', 'json', 'yaml'].includes(flags.output))
      throw new OperationError('INVALID_ARGUMENT', `--output "${flags.output}": write table, json or yaml`);
    this.painter = new Painter(lookOf(flags));
    this.cluster = clusterOf(flags);
  }

  observe(disks = false): Promise<Observation> {
    return observe(this.cluster, { disks });
  }

  /** Prints the answer: as data for programs, or as text for people. */
  print(data: unknown, text: () => string): void {
    const { output } = this.flags;
    process.stdout.write(output === 'json' ? `${JSON.stringify(data, null, 2)}\n` : output === 'yaml' ? stringify(data) : `${text()}\n`);
  }

  /** The volume of this name or UUID. Throws NOT_FOUND with the names that there are. */
  volume(observation: Observation, wanted: string): VolumePicture {
    const volume = findVolume(observation, wanted);
    if (volume !== null) return volume;
    const silent = [...observation.storage, ...observation.clients].filter(({ problem }) => problem !== null);
    const unheard = silent.length === 0 ? '' : `; ${silent.map(({ node }) => node.name).join(', ')} did not answer`;
    throw new OperationError('NOT_FOUND', `there is no volume ${wanted}${unheard}. "rmrctl volume list" shows those that there are`);
  }

  /** The client node that maps the volume. Throws UNAVAILABLE if none does. */
  server(volume: VolumePicture): ClusterNode {
    const node = this.cluster.nodes.find(({ name }) => name === volume.servedBy);
    if (node !== undefined) return node;
    throw new OperationError(
      'UNAVAILABLE',
      `no client node that answers maps ${volume.name}: map it first with rmrctl volume map ${volume.name}`,
    );
  }

  /** The client node with this name, or the one that answers and maps the fewest volumes. */
  client(observation: Observation, wanted: string | undefined): ClusterNode {
    if (wanted !== undefined) {
      const named = observation.clients.find(({ node }) => node.name === wanted);
      if (named !== undefined) return named.node;
      const names = observation.clients.map(({ node }) => node.name).join(', ') || 'none';
      throw new OperationError('NOT_FOUND', `there is no client node ${wanted}; there are: ${names}`);
    }
    const [best] = observation.clients
      .filter(({ status }) => status !== null)
      .sort((a, b) => (a.status?.pools.length ?? 0) - (b.status?.pools.length ?? 0));
    if (best !== undefined) return best.node;
    throw new OperationError('UNAVAILABLE', 'no client node answers: a volume is made and served by a client node');
  }

  /** Gives an order, and follows its operation unless told not to. */
  async order(node: ClusterNode, flags: OrderFlags, give: (admin: AdminClient) => Promise<OperationView>): Promise<OperationView> {
    const operation = await ask(node, give, 30_000);
    if (!flags.wait) return operation;
    return showOperation(this.painter, node, operation, this.flags.output !== 'table', timeoutOf(flags.timeout));
  }

  /** Has a person type a name before something is destroyed. `yes`: it was confirmed on the command line. */
  async confirm(name: string, yes: boolean | undefined, what: string): Promise<void> {
    if (yes === true) return;
    if (!process.stdin.isTTY)
      throw new OperationError('INVALID_ARGUMENT', `${what}. Nothing has been changed: say --yes, or type the name on a terminal`);
    process.stderr.write(`${what}.\n`);
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    const typed = await terminal.question(`Type the name of the volume to go on: `);
    terminal.close();
    if (typed.trim() !== name) throw new OperationError('INVALID_ARGUMENT', `"${typed.trim()}" is not ${name}. Nothing has been changed`);
  }
}

export function timeoutOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseDuration(text);
}
