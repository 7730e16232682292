import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ForceMember, ForcePlan, PoolOrders } from '@rmr/admin-api';
import { type AdminServer, Metrics, startAdminServer } from '@rmr/daemon';
import { OPERATION_ERRORS, OperationError, SILENT_LOGGER } from '@rmr/runtime';
import { runCommandLine } from '@rmr/runtime/cli';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { buildProgram } from './cli.ts';

const TOKEN = '0123456789abcdef0123456789abcdef';
const AT = '2026-01-31T09:30:00.000Z';

let folder: string;
let server: AdminServer | null;
/** What the daemon was ordered, in order. */
let orders: unknown[][];
/** What the daemon plans, one after the other; the last for good. */
let plans: ForcePlan[];
/** What each order fails with. */
let refusal: OperationError | null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rmr-commands-'));
  server = null;
  orders = [];
  plans = [plan()];
  refusal = null;
});
afterEach(async () => {
  await server?.close();
  rmSync(folder, { recursive: true });
  vi.unstubAllEnvs();
});

function member(memberId: number, more: Partial<ForceMember> = {}): ForceMember {
  return { memberId, name: `storage-${memberId}`, version: '3.2{1,2,3}', at: AT, missingBytes: 0, note: '', ...more };
}

function plan(more: Partial<ForcePlan> = {}): ForcePlan {
  return {
    refusal: null,
    members: [member(1)],
    leftBehind: [
      member(2, { version: null, at: null, missingBytes: null, note: "can't be reached: connect ECONNREFUSED 10.0.0.2:4810" }),
      member(3, { version: '3.1{1,2,3}', missingBytes: null, note: 'its store is older than it was' }),
    ],
    sentence:
      'What storage-2 has made durable since 2026-01-31 09:30:00Z, and no other member has, is lost. How much that is can not be said.',
    ...more,
  };
}

/** A daemon's admin interface, without a daemon. */
async function serve({ listen = 'http://127.0.0.1:0', tokenFile }: { listen?: string; tokenFile?: string } = {}): Promise<string> {
  const order = async (...args: unknown[]): Promise<void> => {
    orders.push(args);
    if (refusal !== null) throw refusal;
  };
  const pools: PoolOrders = {
    create: (pool) => order('create', pool),
    forcePlan: () => (plans.length > 1 ? plans.shift() : plans[0]) as ForcePlan,
    force: (pool, leftBehind) => order('force', pool, leftBehind),
    copyAnew: (pool, memberId, giveUp) => order('copyAnew', pool, memberId, giveUp),
    replaceStore: (pool, memberId, giveUp) => order('replaceStore', pool, memberId, giveUp),
  };
  const status = () => Promise.reject(new Error('nobody asks'));
  server = await startAdminServer({
    listen,
    tokenFile,
    service: { status, flush: async () => {}, notReady: () => null, pools },
    metrics: new Metrics(),
    log: SILENT_LOGGER,
  });
  return server.url;
}

interface Outcome {
  readonly exit: number;
  readonly output: string;
  readonly errors: string;
}

/** Runs the program as its main file does. */
async function run(...args: string[]): Promise<Outcome> {
  const texts = { output: '', errors: '' };
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      texts.output += String(text);
      return true;
    }),
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      texts.errors += String(text);
      return true;
    }),
  ];
  process.exitCode = 0;
  try {
    await runCommandLine(buildProgram(), ['node', 'client-node', ...args]);
    return { exit: Number(process.exitCode), ...texts };
  } finally {
    process.exitCode = undefined;
    for (const spy of spies) spy.mockRestore();
  }
}

/** The configuration file of a daemon that listens on `listen`. */
function configFile(admin: Record<string, string>): string {
  const path = join(folder, 'client.json');
  writeFileSync(path, JSON.stringify({ name: 'client-1', stateDir: folder, admin }));
  return path;
}

describe('where the daemon is', () => {
  test('its configuration says it, and its token', async () => {
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, `${TOKEN}\n`);
    const url = await serve({ tokenFile });
    const config = configFile({ listen: url, tokenFile });
    expect(await run('create', '--pool', 'demo', '--config', config)).toEqual({
      exit: 0,
      output: 'pool demo has been created, and is served\n',
      errors: '',
    });
    vi.stubEnv('RMR_CONFIG', config);
    expect((await run('create', '--pool', 'demo')).exit).toBe(0);
    expect((await run('create', '--pool', 'demo', '--admin', url, '--token-file', tokenFile)).exit).toBe(0);
    // The token of a configuration that was not named for this is not sent to an address that was.
    expect(await run('create', '--pool', 'demo', '--admin', url)).toMatchObject({
      exit: OPERATION_ERRORS.UNAUTHENTICATED.exit,
      errors: expect.stringContaining('asks for another token'),
    });
    expect(orders).toHaveLength(3);
  });

  test('a daemon that listens everywhere is reached on loopback', async () => {
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, TOKEN);
    const port = new URL(await serve({ listen: 'http://0.0.0.0:0', tokenFile })).port;
    const config = configFile({ listen: `http://0.0.0.0:${port}`, tokenFile });
    expect((await run('create', '--pool', 'demo', '--config', config)).exit).toBe(0);
  });

  test.each([
    [['--pool', 'demo'], 'say where the daemon is: --config FILE, or --admin tcp://HOST:PORT'],
    [['--pool', 'demo', '--admin', '127.0.0.1:4812'], '--admin "127.0.0.1:4812" is not an address; write tcp://HOST:PORT'],
    [['--pool', 'demo', '--admin', 'ftp://x'], 'is not an address'],
    [['--admin', 'http://127.0.0.1:1'], '--pool'],
    [['--pool', 'demo', '--admin', 'http://127.0.0.1:1', '--token-file', '/none'], "the token file /none can't be read"],
    [['--pool', 'demo', '--config', '/none'], '/none'],
  ])('%j is refused as wrong usage', async (args, why) => {
    expect(await run('create', ...args)).toMatchObject({ exit: 2, output: '', errors: expect.stringContaining(why) });
  });

  test('a configuration that takes any free port does not say it', async () => {
    const config = configFile({ listen: 'http://127.0.0.1:0' });
    expect(await run('create', '--pool', 'demo', '--config', config)).toMatchObject({
      exit: 2,
      errors: expect.stringContaining("give --admin with the address that the daemon's log names"),
    });
  });

  test('one that does not answer is named', async () => {
    const url = await serve();
    await server?.close();
    server = null;
    expect(await run('create', '--pool', 'demo', '--admin', url)).toMatchObject({
      exit: OPERATION_ERRORS.UNAVAILABLE.exit,
      errors: expect.stringContaining(`cannot reach the daemon at ${url}`),
    });
  });
});

describe('create', () => {
  test.each([
    ['CONFLICT', 'pool demo exists already'],
    ['UNAVAILABLE', 'member 2 (storage-2) is missing'],
    ['NOT_FOUND', 'pool demo is not mapped here'],
  ] as const)('%s of the daemon is told as it is', async (code, why) => {
    refusal = new OperationError(code, why);
    expect(await run('create', '--pool', 'demo', '--admin', await serve())).toEqual({
      exit: OPERATION_ERRORS[code].exit,
      output: '',
      errors: `client-node: ${why}\n`,
    });
  });
});

describe('force', () => {
  test('without --yes-lose it shows the plan and the command to go on, and changes nothing', async () => {
    const url = await serve();
    const { exit, output, errors } = await run('force', '--pool', 'demo', '--admin', url);
    expect({ exit, errors }).toEqual({ exit: 2, errors: '' });
    expect(output).toBe(`Pool demo could be served by 1 of its 3 members.

It would be served by:
  MEMBER  NAME       VERSION     LAST HEARD            MISSES
  1       storage-1  3.2{1,2,3}  2026-01-31 09:30:00Z  0 B

It would leave behind:
  MEMBER  NAME       VERSION     LAST HEARD            MISSES
  2       storage-2  -           -                     -
          can't be reached: connect ECONNREFUSED 10.0.0.2:4810
  3       storage-3  3.1{1,2,3}  2026-01-31 09:30:00Z  -
          its store is older than it was

What would be lost:
  What storage-2 has made durable since 2026-01-31 09:30:00Z, and no other
  member has, is lost. How much that is can not be said.

Nothing has been changed. To go on, type:
  client-node force --pool demo --yes-lose storage-2,storage-3 --admin ${url}
`);
    for (const line of output.split('\n').slice(0, -2)) expect(line.length).toBeLessThanOrEqual(80);
    expect(orders).toEqual([]);
  });

  test('the command that it shows is one that goes on', async () => {
    const url = await serve();
    const { output } = await run('force', '--pool', 'demo', '--admin', url);
    const command = output.trimEnd().split('\n').at(-1)?.trim().split(' ') ?? [];
    expect(command.shift()).toBe('client-node');
    expect(await run(...command)).toEqual({
      exit: 0,
      output: 'pool demo is served by member 1 (storage-1); left behind: member 2 (storage-2), member 3 (storage-3)\n',
      errors: '',
    });
    expect(orders).toEqual([['force', 'demo', [2, 3]]]);
  });

  test.each(['storage-2,storage-3', 'storage-3, storage-2', '2,3', '3,storage-2'])('--yes-lose %s names them all', async (words) => {
    expect((await run('force', '--pool', 'demo', '--yes-lose', words, '--admin', await serve())).exit).toBe(0);
    expect(orders).toEqual([['force', 'demo', [2, 3]]]);
  });

  test.each(['storage-2', 'storage-1,storage-2,storage-3', '1', 'storage-2,storage-4', '2,3,', '', 'none', 'all'])(
    '--yes-lose "%s" names others: it is refused with the plan',
    async (words) => {
      const { exit, output, errors } = await run('force', '--pool', 'demo', '--yes-lose', words, '--admin', await serve());
      expect(exit).toBe(OPERATION_ERRORS.CONFLICT.exit);
      expect(output).toContain('It would leave behind:');
      expect(errors).toBe(
        `client-node: pool demo is not forced: --yes-lose names "${words}", and the plan leaves behind member 2 (storage-2), member 3 (storage-3)\n`,
      );
      expect(orders).toEqual([]);
    },
  );

  test('a plan that changes before the order arrives is shown anew', async () => {
    plans = [plan(), plan({ members: [member(1), member(3)], leftBehind: [member(2)] })];
    refusal = new OperationError('CONFLICT', 'member 3 (storage-3) has come back');
    const { exit, output, errors } = await run('force', '--pool', 'demo', '--yes-lose', '2,3', '--admin', await serve());
    expect({ exit, errors }).toEqual({ exit: OPERATION_ERRORS.CONFLICT.exit, errors: 'client-node: member 3 (storage-3) has come back\n' });
    expect(output).toContain('could be served by 2 of its 3 members');
    expect(output).toContain('--yes-lose storage-2 --admin');
  });

  test('where forcing makes no sense it says why, and shows no command', async () => {
    plans = [plan({ refusal: 'it is served', members: [], leftBehind: [], sentence: '' })];
    const url = await serve();
    for (const more of [[], ['--yes-lose', '2,3']]) {
      expect(await run('force', '--pool', 'demo', '--admin', url, ...more)).toEqual({
        exit: OPERATION_ERRORS.CONFLICT.exit,
        output: '',
        errors: 'client-node: pool demo is not forced: it is served\n',
      });
    }
    plans = [plan({ refusal: 'no member that is there has a version' })];
    const { output } = await run('force', '--pool', 'demo', '--admin', url);
    expect(output).toContain('storage-2');
    expect(output).not.toContain('--yes-lose');
    expect(orders).toEqual([]);
  });

  test('a plan that leaves nobody behind is agreed to by "none"', async () => {
    plans = [plan({ members: [member(1), member(2)], leftBehind: [] })];
    const url = await serve();
    const { output } = await run('force', '--pool', 'demo', '--admin', url);
    expect(output).toContain('It would leave nobody behind.');
    expect(output).toContain('--yes-lose none');
    expect((await run('force', '--pool', 'demo', '--yes-lose', '2', '--admin', url)).errors).toContain('the plan leaves behind nobody');
    expect(await run('force', '--pool', 'demo', '--yes-lose', 'none', '--admin', url)).toMatchObject({
      exit: 0,
      output: 'pool demo is served by member 1 (storage-1), member 2 (storage-2)\n',
    });
    expect(orders).toEqual([['force', 'demo', []]]);
  });

  test('members whose names do not tell them apart are written by their ids', async () => {
    const leftBehind = [member(2, { name: 'a' }), member(3, { name: 'a' }), member(4, { name: '7' }), member(5, { name: 'none' })];
    plans = [plan({ leftBehind })];
    const url = await serve();
    expect((await run('force', '--pool', 'demo', '--admin', url)).output).toContain('--yes-lose 2,3,4,5 ');
    expect((await run('force', '--pool', 'demo', '--yes-lose', '2,3,4,5', '--admin', url)).exit).toBe(0);
    expect(orders).toEqual([['force', 'demo', [2, 3, 4, 5]]]);
  });
});

describe('copy-anew', () => {
  test('names the member, and keeps last copies unless it is told to give them up', async () => {
    const url = await serve();
    expect(await run('copy-anew', '--pool', 'demo', '--member', '2', '--admin', url)).toEqual({
      exit: 0,
      output: 'member 2 of pool demo is copied anew: status says how much is left\n',
      errors: '',
    });
    await run('copy-anew', '--pool', 'demo', '--member', '3', '--give-up-last-copies', '--admin', url);
    expect(orders).toEqual([
      ['copyAnew', 'demo', 2, false],
      ['copyAnew', 'demo', 3, true],
    ]);
  });
});

describe('replace-store', () => {
  test('names the member, and keeps last copies unless it is told to give them up', async () => {
    const url = await serve();
    expect(await run('replace-store', '--pool', 'demo', '--member', '2', '--admin', url)).toEqual({
      exit: 0,
      output: 'member 2 of pool demo has its new store, and all data is copied to it: status says how much is left\n',
      errors: '',
    });
    await run('replace-store', '--pool', 'demo', '--member', '3', '--give-up-last-copies', '--admin', url);
    expect(orders).toEqual([
      ['replaceStore', 'demo', 2, false],
      ['replaceStore', 'demo', 3, true],
    ]);
  });

  test('a refusal is told as it is', async () => {
    refusal = new OperationError('CONFLICT', 'member 2 (storage-2) is in sync');
    expect(await run('replace-store', '--pool', 'demo', '--member', '2', '--admin', await serve())).toEqual({
      exit: OPERATION_ERRORS.CONFLICT.exit,
      output: '',
      errors: 'client-node: member 2 (storage-2) is in sync\n',
    });
  });

  test('its help says how the new store comes about, what is checked, and what is lost', async () => {
    const { output } = await run('replace-store', '--help');
    const text = output.replace(/\s+/g, ' ');
    expect(text).toContain('under the same member id (storage-node store create)');
    expect(text).toContain('was never in service');
    expect(text).toContain('even if only the lost store had some data: that is lost then');
  });
});

describe.each(['copy-anew', 'replace-store'])('%s', (command) => {
  test.each(['storage-2', '0', '256', '1.5', '-1', ''])('--member "%s" is no id', async (id) => {
    expect(await run(command, '--pool', 'demo', `--member=${id}`, '--admin', await serve())).toMatchObject({
      exit: 2,
      errors: expect.stringContaining('write the id of a member'),
    });
    expect(orders).toEqual([]);
  });

  test('the member has to be named', async () => {
    expect(await run(command, '--pool', 'demo', '--admin', await serve())).toMatchObject({
      exit: 2,
      errors: expect.stringContaining('--member'),
    });
    expect(orders).toEqual([]);
  });
});
