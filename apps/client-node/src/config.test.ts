import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@rmr/daemon';
import type { OperationError } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { clientNodeConfigSchema } from './config.ts';

const UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab';
const OTHER_UUID = '8b3f8a52-9c1d-4e6f-8a2b-0123456789ab';

const POOL = {
  name: 'demo',
  uuid: UUID,
  members: [
    { memberId: 1, name: 'storage-1', addresses: ['tcp://10.0.0.1:4810'] },
    { memberId: 2, name: 'storage-2', addresses: ['tcp://10.0.0.2:4810', 'tcp://10.1.0.2:4810'] },
  ],
};

function load(pools: readonly object[], environment: Record<string, string> = {}) {
  return loadConfig(clientNodeConfigSchema, {
    environment: { RMR_NAME: 'client-1', RMR_STATE_DIR: '/var/lib/rmr', RMR_POOLS: JSON.stringify(pools), ...environment },
    flags: new Map(),
  });
}

function refusal(pools: readonly object[], environment: Record<string, string> = {}): string {
  try {
    load(pools, environment);
  } catch (error) {
    return (error as OperationError).message;
  }
  throw new Error('it was accepted');
}

describe('configuration of the client node', () => {
  test('a pool needs a name, a UUID and members; IO waits for ever unless told otherwise', () => {
    const config = load([POOL]);
    expect(config.nbd.listen).toEqual(['tcp://127.0.0.1:10809']);
    expect(config.pools[0]).toMatchObject({
      readPolicy: 'min-inflight',
      queueDepth: 128,
      ioTimeout: null,
      legTimeout: 30_000,
      readOnly: false,
    });
    expect(load([{ ...POOL, ioTimeout: '2m' }]).pools[0]?.ioTimeout).toBe(120_000);
  });

  test('no pool, and no NBD listener, is a legal client node', () => {
    expect(load([], { RMR_NBD_LISTEN: '' }).pools).toEqual([]);
  });

  test('NBD and the admin interface on one port are refused', () => {
    expect(refusal([POOL], { RMR_NBD_LISTEN: 'unix:/run/nbd.sock,tcp://0.0.0.0:4812' })).toContain(
      'admin.listen: "tcp://127.0.0.1:4812" is listened on for nbd.listen[1] (tcp://0.0.0.0:4812) already',
    );
  });

  test('access to unix sockets: a part that is not given stays as it is; a mode is octal, owner and group are names or numbers', () => {
    expect(load([]).nbd.socket).toEqual({});
    const given = { RMR_NBD_SOCKET_MODE: '0660', RMR_NBD_SOCKET_OWNER: 'qemu', RMR_NBD_SOCKET_GROUP: '36' };
    expect(load([], given).nbd.socket).toEqual({ mode: 0o660, owner: 'qemu', group: '36' });
  });

  test.each([
    [
      'RMR_NBD_SOCKET_MODE',
      '0688',
      'nbd.socket.mode (RMR_NBD_SOCKET_MODE in the environment): "0688" is not a mode; write three octal digits',
    ],
    ['RMR_NBD_SOCKET_MODE', '4755', '"4755" is not a mode'],
    ['RMR_NBD_SOCKET_GROUP', 'a b', 'nbd.socket.group (RMR_NBD_SOCKET_GROUP in the environment): "a b" is not the name of a group'],
  ])('%s %j is refused', (key, value, expected) => {
    expect(refusal([], { [key]: value })).toContain(expected);
  });

  test('a mode without quotes in YAML, which is another number, is refused with the way to write it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'rmr-config-'));
    const file = join(folder, 'client.yaml');
    try {
      writeFileSync(file, 'name: c\nstateDir: /x\nnbd: { socket: { mode: 0660, group: 36 } }\n');
      const sources = { filePath: file, environment: {}, flags: new Map<string, string>() };
      expect(() => loadConfig(clientNodeConfigSchema, sources)).toThrow('is not a mode; write it in quotes, for example "0660"');
      writeFileSync(file, 'name: c\nstateDir: /x\nnbd: { socket: { mode: "0660", group: 36 } }\n');
      expect(loadConfig(clientNodeConfigSchema, sources).nbd.socket).toEqual({ mode: 0o660, group: '36' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('a pool without members is refused', () => {
    expect(refusal([{ ...POOL, members: [] }])).toContain(
      'pools[0].members (RMR_POOLS in the environment): is empty; write at least one member',
    );
  });

  test('more members than a pool can have are refused', () => {
    const members = Array.from({ length: 9 }, (_, i) => ({ memberId: i + 1, name: `storage-${i}`, addresses: [`tcp://h:${i + 1}`] }));
    expect(refusal([{ ...POOL, members }])).toContain('has too many members; a pool has at most 8');
  });

  test('two members with one id are refused', () => {
    expect(refusal([{ ...POOL, members: [POOL.members[0], { ...POOL.members[1], memberId: 1 }] }])).toContain(
      'pools[0].members[1].memberId (RMR_POOLS in the environment): 1 is used by another member of pool demo',
    );
  });

  test.each([
    [
      { members: [POOL.members[0], { ...POOL.members[1], name: 'storage-1' }] },
      'pools[0].members[1].name (RMR_POOLS in the environment): "storage-1" is given for member 1 and for member 2 of pool demo; each needs a name of its own',
    ],
    [
      { members: [POOL.members[0], { ...POOL.members[1], addresses: ['tcp://10.0.0.9:1', 'tcp://10.0.0.1:4810'] }] },
      'pools[0].members[1].addresses[1] (RMR_POOLS in the environment): "tcp://10.0.0.1:4810" is given for member 1 and for member 2 of pool demo; a storage node has one store of a pool',
    ],
    [
      { witness: { memberId: 3, name: 'storage-3', addresses: ['tcp://10.1.0.2:4810'] } },
      'pools[0].witness.addresses[0] (RMR_POOLS in the environment): "tcp://10.1.0.2:4810" is given for member 2 and for the witness, member 3 of pool demo',
    ],
  ])('members that can not be told apart are refused, with both: %#', (pool, expected) => {
    expect(refusal([{ ...POOL, ...pool }])).toContain(expected);
  });

  test('storage nodes may be members of several pools under the same name and address', () => {
    expect(load([POOL, { ...POOL, uuid: OTHER_UUID, name: 'other' }]).pools).toHaveLength(2);
  });

  test('a quorum is what was written, and nothing where nothing was: what counts is in the pool', () => {
    expect(load([POOL]).pools[0]?.quorum).toBeUndefined();
    expect(load([{ ...POOL, quorum: 'none' }]).pools[0]?.quorum).toBe('none');
    expect(refusal([{ ...POOL, quorum: 'most' }])).toContain('"most" is not known; write one of none, majority');
  });

  test('the read policy "preferred" needs a member, and one that exists', () => {
    expect(refusal([{ ...POOL, readPolicy: 'preferred' }])).toContain('pools[0].preferredMember');
    expect(refusal([{ ...POOL, readPolicy: 'preferred', preferredMember: 3 }])).toContain('3 is no member of pool demo; write one of 1, 2');
    expect(load([{ ...POOL, readPolicy: 'preferred', preferredMember: 2 }]).pools[0]?.preferredMember).toBe(2);
  });

  test('a pool that is mapped twice, and an export name that is used twice, are refused', () => {
    expect(refusal([POOL, { ...POOL, name: 'other' }])).toContain('pools[1].uuid');
    expect(refusal([POOL, { ...POOL, uuid: OTHER_UUID }])).toContain('pools[1].exportName');
    expect(load([POOL, { ...POOL, uuid: OTHER_UUID, exportName: 'other' }]).pools).toHaveLength(2);
  });

  test.each([
    [{ memberId: 0, name: 'n', addresses: ['tcp://h:1'] }, 'pools[0].members[0].memberId'],
    [{ memberId: 256, name: 'n', addresses: ['tcp://h:1'] }, 'pools[0].members[0].memberId'],
    [{ memberId: 1, name: '', addresses: ['tcp://h:1'] }, 'pools[0].members[0].name'],
    [{ memberId: 1, name: 'n', addresses: [] }, 'pools[0].members[0].addresses'],
    [{ memberId: 1, name: 'n', addresses: ['h'] }, 'pools[0].members[0].addresses[0]'],
    [{ memberId: 1, name: 'n', address: 'tcp://h:1' }, 'pools[0].members[0].address'],
  ])('the member %j is refused by its key', (member, key) => {
    expect(refusal([{ ...POOL, members: [member] }])).toContain(`${key} (RMR_POOLS in the environment)`);
  });
});
