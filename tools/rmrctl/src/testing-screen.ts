/** Runs command lines as an operator would see them: in a pipe or on a terminal of some width, at a fixed time, against simulated daemons. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { GIB, TIB } from '@rmr/runtime';
import { newDisk, newMember, newVolume, SimulatedCluster, type SimulatedClusterOptions } from '@rmr/simulated-daemons';
import { afterEach } from 'vitest';
import { run } from './cli.ts';
import type { Surroundings } from './surroundings.ts';

/** What a command line led to. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ScreenOptions {
  /** Columns of the terminal; absent: it is a pipe. */
  readonly columns?: number;
  /** Whether standard error is a terminal, too. Operations are painted there. */
  readonly errorsToo?: true;
  readonly env?: Readonly<Record<string, string>>;
  /** Lines of the terminal. */
  readonly rows?: number;
  /** Presses Ctrl-C once standard output has this text, where the clock moves on by itself. */
  readonly interruptAt?: string;
  /** What a person types. It is typed once the program has asked, which `when` recognises on standard error. */
  readonly typed?: { readonly when: string; readonly text: string };
}

/** 25 minutes after the simulated states began. */
export const NOW_MS = Date.parse('2026-12-01T03:09:00.000Z');

const clusters: SimulatedCluster[] = [];
const folders: string[] = [];
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A simulated cluster, and command lines in a folder with its cluster file. */
export interface Stage {
  readonly simulated: SimulatedCluster;
  readonly folder: string;
  /** Runs a command line: words with single spaces between them, as nothing here needs quotes. */
  readonly type: (line: string, options?: ScreenOptions) => Promise<Outcome>;
  /** The one JSON document that a command line prints. */
  readonly json: <T>(line: string) => Promise<T>;
}

export async function stage(options: SimulatedClusterOptions): Promise<Stage> {
  const simulated = await SimulatedCluster.start(options);
  clusters.push(simulated);
  const folder = mkdtempSync(join(tmpdir(), 'rmrctl-'));
  folders.push(folder);
  writeFileSync(join(folder, 'rmr.yaml'), simulated.file());
  const type = (line: string, screen: ScreenOptions = {}): Promise<Outcome> => runLine(folder, line, screen);
  return {
    ...{ simulated, folder, type },
    json: async (line) => {
      const { code, stdout, stderr } = await type(`${line} --output json`);
      if (stdout === '') throw new Error(`rmrctl ${line} ended with ${code}: ${stderr}`);
      return JSON.parse(stdout);
    },
  };
}

/** Runs one command line in a folder, which is also the home. */
export async function runLine(
  folder: string,
  line: string,
  { columns, errorsToo, env = {}, rows = 40, interruptAt, typed }: ScreenOptions = {},
): Promise<Outcome> {
  const isTerminal = columns !== undefined;
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  const texts = { stdout: '', stderr: '' };
  streams.stdout.on('data', (bytes) => {
    texts.stdout += bytes;
  });
  let waiting = typed;
  streams.stderr.on('data', (bytes) => {
    texts.stderr += bytes;
    if (waiting === undefined || !texts.stderr.includes(waiting.when)) return;
    const { text } = waiting;
    waiting = undefined;
    // The question is on the screen before its answer is listened for.
    setImmediate(() => streams.stdin.write(text));
  });
  let code = 0;
  const world: Surroundings = {
    ...streams,
    isTerminal: { stdin: isTerminal, stdout: isTerminal, stderr: errorsToo === true },
    columns: columns ?? 100,
    rows,
    env: { NO_COLOR: '1', LANG: 'C.UTF-8', ...env },
    ...{ folder, home: folder },
    now: interruptAt === undefined ? () => NOW_MS : Date.now,
    setExitCode: (value) => {
      code = value;
    },
    onInterrupt: (interrupt) => {
      if (interruptAt !== undefined) streams.stdout.on('data', () => texts.stdout.includes(interruptAt) && interrupt());
      return () => undefined;
    },
  };
  await run(world, line.split(' '));
  return { code, ...texts };
}

/** The cluster of the transcripts: three storage nodes, two client nodes, and volumes of which some are not well. */
export async function exampleStage(): Promise<Stage> {
  const disk = (name: string, freeTib: number) =>
    newDisk(name, { kind: 'directory', capacityBytes: 14 * TIB, freeBytes: freeTib * TIB, place: `/srv/${name}` });
  const built = await stage({
    storage: {
      'storage-1': [disk('nvme0n1', 8.5), disk('nvme1n1', 3)],
      'storage-2': [disk('nvme0n1', 2), disk('nvme3n1', 3.5)],
      'storage-3': [disk('nvme2n1', 5.25), disk('nvme3n1', 1)],
    },
    clients: ['client-1', 'client-2'],
  });
  const { volumes } = built.simulated.state;
  const three = [newMember(1, 'storage-1', 'nvme0n1'), newMember(2, 'storage-2', 'nvme0n1'), newMember(3, 'storage-3', 'nvme2n1')];
  volumes.push(newVolume(1, 'analytics', 'client-1', three, { sizeBytes: 2 * TIB, peers: ['10.0.0.7:41000'] }));
  const failed = {
    attached: false,
    connected: true,
    inSync: false,
    state: 'FAILED',
    reason: 'the disk does not answer',
    dirtyBytes: 3 * GIB,
    since: '2026-12-01T02:44:00.000Z',
  } as const;
  volumes.push(
    newVolume(2, 'ci-artifacts', 'client-2', [newMember(1, 'storage-1', 'nvme1n1'), newMember(2, 'storage-2', 'nvme0n1', failed)], {
      sizeBytes: TIB,
    }),
  );
  const away = {
    connected: false,
    inSync: false,
    state: 'RECONNECTING',
    reason: 'no session to storage-3',
    onlyCopyBytes: 1.75 * GIB,
    dirtyBytes: 4096,
  } as const;
  const behind = {
    dirtyBytes: 1.75 * GIB,
    resync: { reason: 'only member 2 has these chunks, and it is away', state: 'RUNNING' },
  } as const;
  volumes.push(
    newVolume(3, 'mail-spool', 'client-1', [newMember(1, 'storage-1', 'nvme0n1', behind), newMember(2, 'storage-3', 'nvme3n1', away)], {
      ...{ sizeBytes: 500 * GIB, peers: ['10.0.0.8:52000', '10.0.0.9:52002'] },
      waits: [
        {
          kind: 'CHUNK',
          what: 'member 2 (storage-3), which alone has 1.75 GiB clean',
          since: '2026-12-01T02:47:00.000Z',
          requests: 4,
          remedy: 'put the disk nvme3n1 back into storage-3',
        },
      ],
    }),
  );
  const pulling = { dirtyBytes: 61.25 * GIB, resync: { bytesPerSecond: 186 * 1024 ** 2, etaSeconds: 345 } } as const;
  volumes.push(
    newVolume(
      4,
      'orders-db',
      'client-1',
      [newMember(1, 'storage-1', 'nvme0n1'), newMember(2, 'storage-2', 'nvme3n1', pulling), newMember(3, 'storage-3', 'nvme2n1')],
      {
        ...{ sizeBytes: 800 * GIB, peers: ['10.0.0.7:41002'] },
      },
    ),
  );
  return built;
}
