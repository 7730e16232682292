import { randomUUID } from 'node:crypto';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { createAdminClient } from '@rmr/admin-api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describe, type Running, run, runProgram, startProgram, succeeded } from './support/command.ts';
import { nbdScript } from './support/nbd-script.ts';
import { CLIENT_NODE, STORAGE_NODE } from './support/paths.ts';
import { freePort } from './support/raw-connection.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, newFolder } from './support/test-cluster.ts';

const PROGRAMS = { 'client-node': CLIENT_NODE, 'storage-node': STORAGE_NODE } as const;
const POOLS = [
  { name: 'first', uuid: randomUUID(), size: 8 * 1024 * 1024, readOnly: false },
  { name: 'second', uuid: randomUUID(), size: 16 * 1024 * 1024 + 512, readOnly: true },
] as const;

let folder: string;
let storage: Running;
let client: Running;
let admin: string;
let port: number;
let socket: string;

/** One storage node with two stores, and one client node that exports both pools on a socket and on a port. */
beforeAll(async () => {
  folder = newFolder('daemons');
  for (const pool of POOLS) {
    const store = ['--path', join(folder, `${pool.name}.img`), '--size', `${pool.size}`, '--chunk-size', '128KiB', '--member-id', '1'];
    await run(process.execPath, STORAGE_NODE, 'store', 'create', ...store, '--pool-name', pool.name, '--pool-uuid', pool.uuid);
  }
  const rtrs = `unix:${join(folder, 'rtrs.sock')}`;
  storage = start('storage-node', {
    name: 'storage-x',
    stateDir: join(folder, 'storage'),
    rtrs: { listen: [rtrs], socket: { mode: '0640' } },
    admin: { listen: `http://127.0.0.1:${await freePort()}` },
    stores: POOLS.map((pool) => ({ path: join(folder, `${pool.name}.img`), poolUuid: pool.uuid })),
  });
  admin = `http://127.0.0.1:${await freePort()}`;
  port = await freePort();
  socket = join(folder, 'nbd.sock');
  client = start('client-node', {
    name: 'client-x',
    stateDir: join(folder, 'client'),
    admin: { listen: admin },
    nbd: { listen: [`unix:${socket}`, `tcp://127.0.0.1:${port}`], socket: { mode: '0666' } },
    pools: POOLS.map(({ name, uuid, readOnly }) => ({
      name,
      uuid,
      readOnly,
      members: [{ memberId: 1, name: 'storage-x', addresses: [rtrs] }],
    })),
  });
  for (const { name } of POOLS) {
    await eventually(async () => {
      // Until the client node has found the storage node, it says that a member is missing.
      const config = join(folder, 'client-node.json');
      const outcome = await runProgram(process.execPath, [CLIENT_NODE, 'create', '--pool', name, '--config', config]);
      expect(outcome.code, describe(outcome)).toBe(0);
    });
  }
  await eventually(async () => {
    expect((await fetch(`${admin}/readyz`)).status, `${client.stderr()}\n${storage.stderr()}`).toBe(200);
  });
});

afterAll(async () => {
  client.signal('SIGKILL');
  storage.signal('SIGKILL');
  await Promise.all([client.ended, storage.ended]);
});

function start(role: keyof typeof PROGRAMS, config: object): Running {
  const path = join(folder, `${role}.json`);
  writeFileSync(path, JSON.stringify(config));
  return startProgram(process.execPath, [PROGRAMS[role], 'run', '--config', path]);
}

test('daemons: unix sockets admit whom the configuration says', () => {
  expect([socket, join(folder, 'rtrs.sock')].map((path) => statSync(path).mode & 0o777)).toEqual([0o666, 0o640]);
});

testNeeding('nbdinfo')('daemons: two pools are two exports, on the socket and on the port', async () => {
  for (const uri of [`nbd+unix:///?socket=${socket}`, `nbd://127.0.0.1:${port}`]) {
    const { exports } = JSON.parse(await run('nbdinfo', '--list', '--json', uri)) as { exports: readonly Record<string, unknown>[] };
    const listed = exports.map((each) => ({ name: each['export-name'], size: each['export-size'], readOnly: each['is_read_only'] }));
    expect(listed).toEqual(POOLS.map(({ name, size, readOnly }) => ({ name, size, readOnly })));
  }
});

testNeeding('python3-libnbd')('daemons: what is written to one export is not seen on the other', async () => {
  const [first, second] = POOLS.map((pool) => `nbd+unix:///${pool.name}?socket=${socket}`) as [string, string];
  succeeded(await nbdScript(first, 'h.pwrite(b"\\x71" * 65536, 4096); assert h.pread(65536, 4096) == b"\\x71" * 65536'));
  succeeded(await nbdScript(second, 'assert h.pread(1 << 20, 0) == bytes(1 << 20)'));
});

testNeeding('python3-libnbd')('daemons: a read-only export refuses with EPERM all that changes data, and serves reads', async () => {
  const script = `
assert h.is_read_only()
expect_error(["EPERM"], h.pwrite, bytes(512), 0)
expect_error(["EPERM"], h.zero, 512, 0)
expect_error(["EPERM"], h.trim, 512, 0)
assert h.pread(512, size - 512) == bytes(512)
`;
  succeeded(await nbdScript(`nbd://127.0.0.1:${port}/second`, script));
});

test('daemons: status names both pools, their legs and exports', async () => {
  const status = await createAdminClient({ url: admin }).status.query();
  if (status.role !== 'client-node') throw new Error('the wrong daemon answered');
  expect(status.pools.map((pool) => [pool.name, pool.state, pool.legs.map((leg) => leg.state)])).toEqual(
    POOLS.map((pool) => [pool.name, 'SERVING', ['NORMAL']]),
  );
  expect(status.exports.map((each) => each.name)).toEqual(POOLS.map((pool) => pool.name));
  // Places for every pool, also for one that is mapped later: what a hanging disk never answers for one leaves those of the others (I11).
  expect(status.sessions.map((session) => session.queueDepth)).toEqual([1024]);
});

test('daemons: a pool that exists already is not created again', async () => {
  const outcome = await runProgram(process.execPath, [CLIENT_NODE, 'create', '--pool', POOLS[0].uuid, '--admin', admin]);
  expect(outcome.code, describe(outcome)).toBe(5);
});

for (const [name, program] of Object.entries(PROGRAMS)) {
  test(`${name}: --version and --help answer, and the help names the flags of the configuration`, async () => {
    expect(await run(process.execPath, program, '--version')).toMatch(/^\d+\.\d+\.\d+/);
    expect(await run(process.execPath, program, '--help')).toContain('Usage:');
    expect(await run(process.execPath, program, 'run', '--help')).toMatch(/--admin-listen|--admin\.listen/);
  });

  test(`${name}: --check judges a configuration and opens nothing, neither what it listens on nor what it keeps`, async () => {
    const path = join(folder, `check-${name}.json`);
    const stateDir = join(folder, `check-${name}-state`);
    // Somebody listens there.
    const good = { name: 'x', stateDir, admin: { listen: admin.replace('http:', 'tcp:') } };
    writeFileSync(path, JSON.stringify(good));
    const outcome = await runProgram(process.execPath, [program, 'run', '--check', '--config', path]);
    expect([outcome.code, outcome.stdout, outcome.stderr]).toEqual([0, `the configuration of ${name} x is usable\n`, '']);
    expect(existsSync(stateDir)).toBe(false);

    const wrong: readonly (readonly [object, readonly string[]])[] = [
      [{ ...good, colour: 'red', log: { level: 'loud' } }, ['colour', 'log.level']],
      [{ ...good, admin: { listen: 'tcp://0.0.0.0:4999' } }, ['admin.tokenFile']],
      [{ ...good, admin: { listen: 'tcp://0.0.0.0:4999', tokenFile: '/none' } }, ['admin.tokenFile: cannot read /none']],
    ];
    for (const [config, parts] of wrong) {
      writeFileSync(path, JSON.stringify(config));
      const refused = await runProgram(process.execPath, [program, '--check', '--config', path]);
      expect([refused.code, refused.stdout], describe(refused)).toEqual([2, '']);
      for (const part of parts) expect(refused.stderr).toContain(part);
    }
  });

  test(`${name}: a wrong configuration is refused, naming the key`, async () => {
    // What a daemon listens on before its admin interface: were that opened first, the answer would be another one.
    const occupied = createServer();
    await new Promise<void>((resolve) => occupied.listen(0, '127.0.0.1', resolve));
    const listen = { listen: [`tcp://127.0.0.1:${(occupied.address() as AddressInfo).port}`] };
    const stateDir = join(folder, `state-of-wrong-${name}`);
    const rest = name === 'client-node' ? { stateDir, nbd: listen } : { stateDir, rtrs: listen };
    const tokenFile = join(folder, 'short-token');
    writeFileSync(tokenFile, 'secret');
    const wrong: readonly (readonly [object, RegExp])[] = [
      [{ ...rest }, /name/],
      [{ name: 'x', ...rest, colour: 'red' }, /colour/],
      [{ name: 'x', ...rest, admin: { listen: 'pigeon' } }, /admin\.listen/],
      [{ name: 'x', ...rest, admin: { listen: 'tcp://0.0.0.0:4999' } }, /token/i],
      [{ name: 'x', ...rest, admin: { listen: 'tcp://127.0.0.1:0', tokenFile } }, /admin\.tokenFile/],
      [{ name: 'x', ...rest, admin: { listen: 'tcp://127.0.0.1:0', tokenFile: join(folder, 'none') } }, /admin\.tokenFile/],
    ];
    for (const [config, key] of wrong) {
      const path = join(folder, `wrong-${name}.json`);
      writeFileSync(path, JSON.stringify(config));
      const outcome = await runProgram(process.execPath, [program, 'run', '--config', path]);
      expect(outcome.code, describe(outcome)).toBe(2);
      expect(outcome.stderr).toMatch(key);
      expect(outcome.stderr).not.toMatch(/^\s+at /m);
    }
    occupied.close();
    // Nothing was opened or made.
    expect(existsSync(stateDir)).toBe(false);
  });
}

test('daemons: SIGTERM ends both gracefully, with code 0', async () => {
  client.signal('SIGTERM');
  expect((await client.ended).code, client.stderr()).toBe(0);
  storage.signal('SIGTERM');
  expect((await storage.ended).code, storage.stderr()).toBe(0);
});
