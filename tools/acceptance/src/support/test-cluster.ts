import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ClientNodeStatus,
  type ClientPoolStatus,
  createAdminClient,
  type LegStatus,
  type NodeStatus,
  type ServerPoolStatus,
} from '@rmr/admin-api';
import { expect, inject, vi } from 'vitest';
import { describe, type Outcome, runProgram, succeeded } from './command.ts';
import { CLUSTER_TOOL } from './paths.ts';
import { isAlive } from './processes.ts';

/** A cluster of real processes. */
export class TestCluster {
  readonly folder: string;
  readonly options: ClusterOptions;

  private constructor(folder: string, options: ClusterOptions) {
    this.folder = folder;
    this.options = options;
  }

  /** Starts a new cluster in a folder of its own. Small, over unix sockets, unless the options say otherwise. */
  static async start(options: ClusterOptions = {}): Promise<TestCluster> {
    const complete: ClusterOptions = { size: '64MiB', transport: 'unix', nbd: 'socket', ...options };
    const cluster = new TestCluster(newFolder('cluster'), complete);
    await cluster.up();
    return cluster;
  }

  /** Starts what exists, or creates it. */
  async up(): Promise<void> {
    succeeded(await clusterTool(...upArguments(this.folder, this.options)));
  }

  async down(): Promise<void> {
    await this.command('down');
  }

  /** Runs a command of the cluster tool on this cluster, which has to succeed. */
  async command(...args: readonly string[]): Promise<string> {
    return succeeded(await clusterTool(...args, '--dir', this.folder)).stdout;
  }

  /** Stops everything and removes the folder. Fails when a process survives. */
  async dispose(): Promise<void> {
    const pids = this.pids();
    await this.down();
    for (const pid of pids) await eventually(() => expect(isAlive(pid), `process ${pid} survived cluster down`).toBe(false));
    rmSync(this.folder, { recursive: true, force: true });
  }

  get file(): ClusterFile {
    return JSON.parse(readFileSync(join(this.folder, 'cluster.json'), 'utf8')) as ClusterFile;
  }

  get nbdUri(): string {
    return this.file.clientNode.nbdUri;
  }

  get sizeBytes(): number {
    return this.file.pool.size;
  }

  /** Process ids of the daemons that run. */
  pids(): number[] {
    const { clientNodes, storageNodes } = this.file;
    return [...clientNodes, ...storageNodes].flatMap((node) => (node.pid === null ? [] : [node.pid]));
  }

  /** The process id of a daemon. Throws when it is stopped. */
  pid(name: string): number {
    const { clientNodes, storageNodes } = this.file;
    const pid = [...clientNodes, ...storageNodes].find((node) => node.name === name)?.pid;
    if (pid === undefined || pid === null) throw new Error(`${name} is not running`);
    return pid;
  }

  log(name: string): string {
    return readFileSync(join(this.folder, 'logs', `${name}.log`), 'utf8');
  }

  async clientStatus(): Promise<ClientNodeStatus> {
    const status = await this.#status(this.file.clientNode.admin);
    if (status.role !== 'client-node') throw new Error(`the client node says that it is a ${status.role}`);
    return status;
  }

  /** The pool, as the client node sees it. */
  async poolStatus(): Promise<ClientPoolStatus> {
    const pool = (await this.clientStatus()).pools[0];
    if (pool === undefined) throw new Error('the client node has no pool');
    return pool;
  }

  /** The leg to a storage node, as the client node sees it. */
  async leg(name: string): Promise<LegStatus> {
    const leg = (await this.poolStatus()).legs.find((each) => each.name === name);
    if (leg === undefined) throw new Error(`there is no leg to ${name}`);
    return leg;
  }

  /** The pool's member on a storage node, as that sees it. */
  async member(name: string): Promise<ServerPoolStatus> {
    const node = this.file.storageNodes.find((each) => each.name === name);
    const status = await this.#status(node?.admin ?? '');
    const pool = status.role === 'storage-node' ? status.pools[0] : undefined;
    if (pool === undefined) throw new Error(`${name} has no store open`);
    return pool;
  }

  /** What a storage node has missed and knows of, in bytes. */
  async missedBytes(name: string): Promise<number> {
    const { memberId, dirty } = await this.member(name);
    return dirty.find((each) => each.memberId === memberId)?.dirtyBytes ?? 0;
  }

  /** Kills daemons at one moment, which is now: the cluster tool would take its time. */
  async killNow(...names: readonly string[]): Promise<void> {
    const pids = names.map((name) => this.pid(name));
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    for (const pid of pids) await eventually(() => expect(isAlive(pid)).toBe(false));
  }

  #status(url: string): Promise<NodeStatus> {
    return createAdminClient({ url }).status.query();
  }

  /** The digest of every member by name, and whether they agree. */
  async checksum(): Promise<{ readonly code: number | null; readonly digests: ReadonlyMap<string, string> }> {
    const outcome = await clusterTool('checksum', '--dir', this.folder);
    const lines = outcome.stdout.split('\n').filter((line) => line !== '');
    const malformed = lines.find((line) => !/^\S+\t[0-9a-f]{64}$/.test(line));
    if (malformed !== undefined || lines.length === 0) throw new Error(`checksum printed something else\n${describe(outcome)}`);
    return { code: outcome.code, digests: new Map(lines.map((line) => line.split('\t') as [string, string])) };
  }

  /** I5: every member holds the same bytes. */
  async expectIdenticalMembers(): Promise<string> {
    const { code, digests } = await this.checksum();
    expect([...digests.keys()].sort()).toEqual(this.file.storageNodes.map((node) => node.name).sort());
    expect(new Set(digests.values()).size, `members differ: ${[...digests].join(' ')}`).toBe(1);
    expect(code).toBe(0);
    return [...digests.values()][0] as string;
  }

  /** Every daemon is the process that it was, and none is larger than `bytesMax`. */
  expectUnharmed(pids: readonly number[]): void {
    expect(this.pids().sort()).toEqual([...pids].sort());
    for (const pid of pids) expect(isAlive(pid), `process ${pid} died`).toBe(true);
  }
}

interface ClientNodeEntry {
  readonly name: string;
  readonly pid: number | null;
  readonly admin: string;
  readonly nbdUri: string;
}

/** `cluster.json`, as far as its interface is promised. */
export interface ClusterFile {
  readonly pool: { readonly name: string; readonly uuid: string; readonly chunkSize: number; readonly size: number };
  readonly storageNodes: readonly {
    readonly name: string;
    readonly pid: number | null;
    readonly rtrs: string;
    readonly admin: string;
    readonly store: string | null;
  }[];
  readonly clientNode: ClientNodeEntry;
  readonly clientNodes: readonly ClientNodeEntry[];
  readonly web: { readonly name: string; readonly pid: number | null; readonly url: string } | null;
}

/** What a cluster is started with; the rest is the tool's default. */
export interface ClusterOptions {
  readonly size?: string;
  readonly storageNodes?: number;
  readonly transport?: 'tcp' | 'unix';
  readonly paths?: number;
  readonly nbd?: 'socket' | { readonly port: number };
  readonly chunkSize?: string;
  readonly clientNodes?: number;
  readonly volatileCache?: boolean;
  /** Bytes per second, as a size. */
  readonly resyncRate?: string;
  /** How long IO is held for a member that returns. */
  readonly returnHold?: string;
  readonly quorum?: 'none' | 'majority';
  readonly witness?: boolean;
}

/** Bound of every wait for a condition. Generous: nothing depends on it unless something is broken. */
export const WAIT_MS_MAX = 60_000;

/** Waits until `check` no longer throws. */
export function eventually<T>(check: () => T | Promise<T>, timeoutMs = WAIT_MS_MAX): Promise<T> {
  return vi.waitFor(check, { timeout: timeoutMs, interval: 25 });
}

/** A new empty folder for this test file; the end of the run removes it. */
export function newFolder(prefix: string): string {
  return mkdtempSync(join(inject('baseFolder'), `${prefix}-`));
}

/** The cluster tool's command line: the one place that knows how to call it. */
export function clusterTool(...args: readonly string[]): Promise<Outcome> {
  return runProgram(process.execPath, [CLUSTER_TOOL, ...args]);
}

/** Arguments of `cluster up`. */
export function upArguments(folder: string, options: ClusterOptions): string[] {
  const args = ['up', '--dir', folder, '--no-web', '--detach'];
  if (options.size !== undefined) args.push('--size', options.size);
  if (options.chunkSize !== undefined) args.push('--chunk-size', options.chunkSize);
  if (options.storageNodes !== undefined) args.push('--storage-nodes', `${options.storageNodes}`, '--replicas', `${options.storageNodes}`);
  if (options.clientNodes !== undefined) args.push('--client-nodes', `${options.clientNodes}`);
  if (options.volatileCache === true) args.push('--volatile-cache');
  if (options.returnHold !== undefined) args.push('--return-hold', options.returnHold);
  if (options.quorum !== undefined) args.push('--quorum', options.quorum);
  if (options.witness === true) args.push('--witness');
  if (options.resyncRate !== undefined) args.push('--resync-rate', options.resyncRate);
  if (options.transport !== undefined) args.push('--transport', options.transport);
  if (options.paths !== undefined) args.push('--paths', `${options.paths}`);
  if (options.nbd === 'socket') args.push('--nbd-socket', join(folder, 'nbd.sock'));
  if (options.nbd !== undefined && options.nbd !== 'socket') args.push('--nbd-port', `${options.nbd.port}`);
  return args;
}
