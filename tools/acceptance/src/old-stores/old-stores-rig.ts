import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ClientPoolStatus, createAdminClient, type LegStatus, type StorageNodeStatus } from '@rmr/admin-api';
import { NbdClient, RequestKind } from '@rmr/chaos';
import { KIB, MIB } from '@rmr/runtime';
import { expect } from 'vitest';
import { describe, type Outcome, type Running, run, runProgram, startProgram, succeeded } from '../support/command.ts';
import { CLIENT_NODE, STORAGE_NODE } from '../support/paths.ts';
import { isAlive } from '../support/processes.ts';
import { freePort } from '../support/raw-connection.ts';
import { eventually, newFolder } from '../support/test-cluster.ts';

/** Two members, if asked a witness or a third storage node without a store, and a client node: all stopped and started one by one. */
export class OldStoresRig {
  readonly folder: string;
  readonly one: StorageDaemon;
  readonly two: StorageDaemon;
  /** The witness, or a storage node that has no store yet. */
  readonly three: StorageDaemon;
  readonly client: Daemon;
  readonly #options: { readonly quorum: 'none' | 'majority'; readonly witness: boolean };
  readonly #nbdSocket: string;

  private constructor(
    folder: string,
    ports: readonly number[],
    options: { readonly quorum: 'none' | 'majority'; readonly witness: boolean },
  ) {
    this.folder = folder;
    this.#options = options;
    const daemon = (index: number, memberId: number | null): StorageDaemon =>
      new StorageDaemon(`storage-${index}`, join(folder, `s${index}`), ports[index - 1] as number, memberId);
    this.one = daemon(1, 1);
    this.two = daemon(2, 2);
    this.three = daemon(3, options.witness ? WITNESS_ID : null);
    this.client = new Daemon(CLIENT_NODE, 'client-1', join(folder, 'c1'), ports[3] as number);
    this.#nbdSocket = join(folder, 'nbd.sock');
  }

  /** Stores and daemons, and no pool yet; nothing runs. */
  static async prepare(options: { readonly quorum?: 'none' | 'majority'; readonly witness?: boolean } = {}): Promise<OldStoresRig> {
    const ports: number[] = [];
    while (ports.length < 4) {
      const port = await freePort();
      if (!ports.includes(port)) ports.push(port);
    }
    return new OldStoresRig(newFolder('old'), ports, { quorum: options.quorum ?? 'none', witness: options.witness ?? false });
  }

  /** A pool that is healthy. */
  static async start(options: { readonly quorum?: 'none' | 'majority'; readonly witness?: boolean } = {}): Promise<OldStoresRig> {
    const rig = await OldStoresRig.prepare(options);
    try {
      await Promise.all([rig.one.createStore(), rig.two.createStore(), rig.witness?.createStore('--witness')]);
      await rig.startAll();
      succeeded(await rig.order('create'));
      await rig.healthy();
    } catch (error) {
      await rig.dispose();
      throw error;
    }
    return rig;
  }

  get witness(): StorageDaemon | null {
    return this.#options.witness ? this.three : null;
  }

  get storage(): readonly StorageDaemon[] {
    return [this.one, this.two, ...(this.witness === null ? [] : [this.witness])];
  }

  async startAll(): Promise<void> {
    await Promise.all(this.storage.map((node) => node.start()));
    await this.startClient();
  }

  /** In order: the client node first. */
  async stopAll(): Promise<void> {
    await this.client.stop();
    await Promise.all([this.one.stop(), this.two.stop(), this.three.stop()]);
  }

  /** Everything at one moment. */
  async killAll(): Promise<void> {
    await Promise.all([this.client, this.one, this.two, this.three].map((daemon) => daemon.kill()));
  }

  startClient(pool: PoolConfig = {}): Promise<void> {
    const { witness } = this;
    return this.client.start({
      name: this.client.name,
      stateDir: this.client.stateDir,
      admin: { listen: this.client.admin },
      nbd: { listen: [`unix:${this.#nbdSocket}`] },
      pools: [
        {
          ...{ name: 'demo', uuid: POOL_UUID, exportName: 'demo', readPolicy: 'round-robin', quorum: this.#options.quorum },
          members: [this.one.member(), this.two.member()],
          ...(witness === null ? {} : { witness: witness.member() }),
          ...pool,
        },
      ],
    });
  }

  /** An order for the pool, as an operator gives it. */
  order(command: 'create' | 'force' | 'copy-anew', ...flags: readonly string[]): Promise<Outcome> {
    const args = [CLIENT_NODE, command, '--pool', 'demo', '--config', this.client.configPath, ...flags];
    return runProgram(process.execPath, args);
  }

  async pool(): Promise<ClientPoolStatus> {
    const status = await createAdminClient({ url: this.client.admin }).status.query();
    const pool = status.role === 'client-node' ? status.pools[0] : undefined;
    if (pool === undefined) throw new Error('the client node has no pool');
    return pool;
  }

  async leg(memberId: number): Promise<LegStatus> {
    const leg = (await this.pool()).legs.find((each) => each.memberId === memberId);
    if (leg === undefined) throw new Error(`there is no leg to member ${memberId}`);
    return leg;
  }

  /** Both members are in sync, and have pulled what they missed. */
  async healthy(): Promise<void> {
    await eventually(async () => {
      const { health, legs } = await this.pool();
      expect(health.level, `${health.sentence}\n${this.client.log}`).toBe('healthy');
      expect(legs.map((leg) => leg.dirtyBytes)).toEqual([0, 0]);
    });
  }

  /** IO is served, with whatever members. */
  async served(): Promise<ClientPoolStatus> {
    return await eventually(async () => {
      const pool = await this.pool();
      expect(pool.state, `${pool.health.sentence}\n${this.client.log}`).toBe('SERVING');
      return pool;
    });
  }

  /** IO is not served, and what is waited for is `what`. It is asked several times: an attempt that is under way waits for other things. */
  async waitsFor(what: RegExp): Promise<ClientPoolStatus> {
    return await eventually(async () => {
      const pool = await this.pool();
      expect(pool.state, pool.health.sentence).toBe('WAITING');
      expect(pool.waitingFor?.what, this.client.log).toMatch(what);
      return pool;
    });
  }

  /** It is named in the log that the store of a member went back in time. */
  async toldOld(memberId: number): Promise<void> {
    await eventually(() => {
      const told = this.client.lines().filter(({ level, event }) => level === 'error' && event.includes('went back in time'));
      expect(
        told.map(({ member }) => member),
        this.client.log,
      ).toContain(memberId);
    });
  }

  /** Member 1 remembers durably that a store has become older than a copy of it. */
  async heardOlder(node: StorageDaemon, copy: string): Promise<void> {
    const { age } = await inspect(copy);
    const remembered = node === this.one ? this.two : this.one;
    await eventually(async () => {
      const { members } = await inspect(remembered.store);
      expect(members.find(({ memberId }) => memberId === node.memberId)?.seen?.age).toBeGreaterThan(age);
    });
  }

  /** Fills the first 8 MiB with a pattern, and flushes. */
  async write(pattern: number): Promise<void> {
    const requests = offsets().map((offset) => ({ kind: RequestKind.WRITE, offset, length: IO_BYTES, payload: content(pattern, offset) }));
    await this.#ask(requests);
    await this.#ask([{ kind: RequestKind.FLUSH, offset: 0, length: 0, payload: null }]);
  }

  /** The pattern is read, again and again, so that every member answers for every part of it. */
  async reads(pattern: number, times = 4): Promise<void> {
    for (let time = 0; time < times; time++) {
      // In turn every member is first: reads go round.
      if (time % 2 === 1) await this.#ask([{ kind: RequestKind.READ, offset: 0, length: 512, payload: null }]);
      const requests = offsets().map((offset) => ({ kind: RequestKind.READ, offset, length: IO_BYTES, payload: null }));
      for (const [index, bytes] of (await this.#ask(requests)).entries()) {
        const offset = index * IO_BYTES;
        if (bytes === null || !bytes.equals(content(pattern, offset)))
          expect(bytes?.subarray(0, 40).toString('latin1'), `wrong data at byte ${offset}`).toBe(
            content(pattern, offset).subarray(0, 40).toString('latin1'),
          );
      }
    }
  }

  /** No export is there, or its reads are not answered: nothing is served. */
  async exported(): Promise<boolean> {
    try {
      const client = await NbdClient.connect(this.#address, { onReply: () => {}, onClosed: () => {} });
      client.drop();
      return true;
    } catch {
      return false;
    }
  }

  /** The members hold the same bytes; returns their digest. */
  async identical(): Promise<string> {
    const [one, two] = await Promise.all([this.one.digest(), this.two.digest()]);
    expect(two, 'the members differ').toBe(one);
    return one;
  }

  /** Member 2's store may not be what it was, and all is well again: pattern 2 everywhere, and equal members. */
  async recovered(pattern: number): Promise<void> {
    await this.healthy();
    await this.reads(pattern);
    await this.identical();
    expect((await this.pool()).lost).toBeNull();
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.client.admin}/metrics`)).text();
    const line = text.split('\n').find((each) => each.startsWith(`${name}{`));
    if (line === undefined) throw new Error(`there is no metric ${name}`);
    return Number(line.slice(line.lastIndexOf(' ') + 1));
  }

  async dispose(): Promise<void> {
    await this.killAll();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #address(): { readonly export: string; readonly socket: { readonly path: string } } {
    return { export: 'demo', socket: { path: this.#nbdSocket } };
  }

  /** Asks all at once on a connection of its own, and returns what was read. */
  async #ask(
    requests: readonly { readonly kind: RequestKind; readonly offset: number; readonly length: number; readonly payload: Buffer | null }[],
  ): Promise<(Buffer | null)[]> {
    const answers: (Buffer | null)[] = requests.map(() => null);
    let left = requests.length;
    let failure: string | null = null;
    const client = await NbdClient.connect(this.#address, {
      onReply: (cookie, error, payload) => {
        if (error !== 0) failure ??= `request ${cookie} failed with error ${error}`;
        answers[cookie] = payload === null ? null : Buffer.from(payload);
        left--;
      },
      onClosed: (reason) => {
        if (left > 0) failure ??= `the connection ended: ${reason}`;
      },
    });
    for (const [cookie, { kind, offset, length, payload }] of requests.entries()) client.send(kind, false, cookie, offset, length, payload);
    await eventually(() => {
      if (failure !== null) return;
      expect(left, `requests without an answer\n${this.client.log}`).toBe(0);
    });
    client.end();
    if (failure !== null) throw new Error(`${failure}\n${this.client.log}`);
    return answers;
  }
}

/** The device, and the part of it that patterns fill. */
export const DEVICE_BYTES = 16 * MIB;
const PATTERN_BYTES = 8 * MIB;
const CHUNK_BYTES = 64 * KIB;
const IO_BYTES = 128 * KIB;

/** The member that only votes. */
export const WITNESS_ID = 3;

export const POOL_UUID = '6b1f6c0e-57a5-4d0c-8a4a-0c5f1d5a9e01';

interface MemberConfig {
  readonly memberId: number;
  readonly name: string;
  readonly addresses: readonly string[];
}

/** What a test may say about the pool in the client node's configuration. */
export interface PoolConfig {
  readonly name?: string;
  readonly quorum?: 'none' | 'majority';
  readonly members?: readonly MemberConfig[];
  readonly witness?: MemberConfig;
}

/** A line of a daemon's log. */
interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly [field: string]: unknown;
}

/** A daemon that is stopped, killed and started again, with a configuration of its own. */
class Daemon {
  readonly name: string;
  readonly folder: string;
  readonly admin: string;
  readonly #program: string;
  #running: Running | null = null;
  #logs = '';

  constructor(program: string, name: string, folder: string, port: number) {
    this.#program = program;
    this.name = name;
    this.folder = folder;
    this.admin = `http://127.0.0.1:${port}`;
    mkdirSync(join(folder, 'state'), { recursive: true });
  }

  get configPath(): string {
    return join(this.folder, 'config.json');
  }

  get stateDir(): string {
    return join(this.folder, 'state');
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** All that it has logged since it was started for the first time. */
  get log(): string {
    return this.#logs + (this.#running?.stderr() ?? '');
  }

  /** What it has logged since it was started last. */
  lines(): LogLine[] {
    const text = this.#running?.stderr() ?? '';
    return text
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as LogLine);
  }

  async start(config: unknown): Promise<void> {
    expect(this.#running, `${this.name} runs already`).toBeNull();
    writeFileSync(this.configPath, JSON.stringify(config, null, 2));
    this.#running = startProgram(process.execPath, [this.#program, 'run', '--config', this.configPath]);
    await eventually(async () => {
      expect(isAlive(this.#running?.pid ?? -1), this.log).toBe(true);
      await createAdminClient({ url: this.admin }).status.query();
    });
  }

  /** Ends in order. */
  async stop(): Promise<void> {
    const outcome = await this.#end('SIGTERM');
    if (outcome !== null) expect(outcome.code, describe(outcome)).toBe(0);
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  signal(signal: NodeJS.Signals): void {
    this.#running?.signal(signal);
  }

  async #end(signal: NodeJS.Signals): Promise<Outcome | null> {
    const running = this.#running;
    if (running === null) return null;
    running.signal(signal);
    const outcome = await running.ended;
    this.#logs += outcome.stderr;
    this.#running = null;
    return outcome;
  }
}

/** A storage node with one store at most. */
export class StorageDaemon extends Daemon {
  readonly address: string;
  readonly store: string;
  /** The member whose store it has; null: it has none. */
  memberId: number | null;

  constructor(name: string, folder: string, port: number, memberId: number | null) {
    super(STORAGE_NODE, name, folder, port);
    this.address = `unix:${join(folder, 'rtrs.sock')}`;
    this.store = join(folder, 'store.img');
    this.memberId = memberId;
  }

  override start(): Promise<void> {
    return super.start({
      name: this.name,
      stateDir: this.stateDir,
      admin: { listen: this.admin },
      rtrs: { listen: [this.address] },
      stores: this.memberId === null ? [] : [{ path: this.store }],
    });
  }

  /** `storage-node store create` in the place of whatever is there. */
  createStore(...flags: readonly string[]): Promise<string> {
    if (!flags.includes('--keep-data')) rmSync(this.store, { force: true });
    const values = ['--path', this.store, '--size', `${DEVICE_BYTES}`, '--chunk-size', `${CHUNK_BYTES}`, '--pool-name', 'demo'];
    const ids = ['--pool-uuid', POOL_UUID, '--member-id', `${this.memberId}`];
    return run(process.execPath, STORAGE_NODE, 'store', 'create', ...values, ...ids, ...flags);
  }

  /** Copies the store as it is at this moment; returns where the copy is. */
  async copyStore(): Promise<string> {
    const copy = `${this.store}.copy`;
    await run('cp', '--sparse=always', this.store, copy);
    return copy;
  }

  /** Puts a copy in the place of the store. */
  async putBack(copy: string): Promise<void> {
    expect(this.isRunning, `${this.name} has its store open`).toBe(false);
    rmSync(this.store, { force: true });
    await run('cp', '--sparse=always', copy, this.store);
  }

  async digest(): Promise<string> {
    const output = await run(process.execPath, STORAGE_NODE, 'store', 'checksum', '--path', this.store);
    return /^([0-9a-f]{64})\b/m.exec(output)?.[1] ?? output;
  }

  async status(): Promise<StorageNodeStatus> {
    const status = await createAdminClient({ url: this.admin }).status.query();
    if (status.role !== 'storage-node') throw new Error(`${this.name} says that it is a ${status.role}`);
    return status;
  }

  /** As its member is in the client node's configuration. */
  member(): MemberConfig {
    return { memberId: this.memberId ?? 0, name: this.name, addresses: [this.address] };
  }
}

interface Inspection {
  readonly age: number;
  readonly members: readonly { readonly memberId: number; readonly seen?: { readonly age: number } }[];
}

/** `storage-node store inspect`. */
export async function inspect(store: string): Promise<Inspection> {
  return JSON.parse(await run(process.execPath, STORAGE_NODE, 'store', 'inspect', '--path', store, '--output', 'json')) as Inspection;
}

/** The daemon's file of stores that may have lost what was not flushed names this one. */
export function nameDoubtful(node: StorageDaemon): void {
  writeFileSync(join(node.stateDir, 'doubtful-stores.json'), JSON.stringify([node.store]));
}

function offsets(): number[] {
  return Array.from({ length: PATTERN_BYTES / IO_BYTES }, (_, index) => index * IO_BYTES);
}

function content(pattern: number, offset: number): Buffer {
  return Buffer.alloc(IO_BYTES, `pattern ${pattern} at byte ${offset}. `);
}
