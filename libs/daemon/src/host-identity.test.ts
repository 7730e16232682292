import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isUuid } from '@rmr/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadHostIdentity } from './host-identity.ts';

const UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rmr-identity-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('the host keeps its UUID from start to start, and every start is another incarnation', () => {
  const stateDir = join(folder, 'made', 'when', 'needed');
  const first = loadHostIdentity({ name: 'n', stateDir });
  const second = loadHostIdentity({ name: 'n', stateDir });
  expect(isUuid(first.hostUuid) && isUuid(first.bootId) && isUuid(first.incarnation)).toBe(true);
  expect(second.hostUuid).toBe(first.hostUuid);
  expect(second.bootId).toBe(first.bootId);
  expect(second.incarnation).not.toBe(first.incarnation);
  expect(readdirSync(stateDir)).toEqual(['host-uuid']);
});

test('a configured UUID and boot id go over what would be found', () => {
  const identity = loadHostIdentity({ name: 'n', stateDir: folder, hostUuid: UUID, bootIdOverride: UUID });
  expect(identity).toMatchObject({ hostName: 'n', hostUuid: UUID, bootId: UUID });
});

test('a damaged file is refused: another identity would be a stranger to all peers', () => {
  writeFileSync(join(folder, 'host-uuid'), '7b3f8a52');
  expect(() => loadHostIdentity({ name: 'n', stateDir: folder })).toThrow(/host-uuid does not hold a UUID; restore it, or set hostUuid/);
});

test('a directory that cannot be used is an error of the key stateDir', () => {
  writeFileSync(join(folder, 'file'), '');
  expect(() => loadHostIdentity({ name: 'n', stateDir: join(folder, 'file') })).toThrow(/^stateDir: cannot use /);
});
