import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parseCluster, readClusterFile } from './cluster-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'rmr-cluster-file-'));
afterAll(() => rmSync(folder, { recursive: true }));

const NODE = 'name: storage-1, role: storage-node, admin: "http://10.0.0.1:7001"';

test('a cluster file names daemons, and a relative tokenFile is relative to its folder', () => {
  mkdirSync(join(folder, 'tokens'));
  writeFileSync(join(folder, 'tokens/one'), 'secret\n');
  const path = join(folder, 'rmr.yaml');
  writeFileSync(
    path,
    `name: prod\nnodes:\n  - { ${NODE}, tokenFile: tokens/one }\n  - { name: c, role: client-node, admin: "tcp://h:1", token: t }\n`,
  );
  expect(readClusterFile(path)).toEqual({
    name: 'prod',
    nodes: [
      { name: 'storage-1', role: 'storage-node', admin: 'http://10.0.0.1:7001', token: 'secret' },
      { name: 'c', role: 'client-node', admin: 'tcp://h:1', token: 't' },
    ],
  });
});

test.each([
  ['nodes: [', 'INVALID_CONFIG', /^f is not YAML: .*line 1/s],
  ['', 'INVALID_CONFIG', 'f: is missing, or is no object'],
  ['name: a', 'INVALID_CONFIG', 'f: nodes is missing, or is no array'],
  ['nodes: []', 'INVALID_CONFIG', 'f: nodes is empty: name at least one daemon'],
  [
    'nodes: [{ name: a, role: client, admin: "http://h:1" }]',
    'INVALID_CONFIG',
    'f: nodes[0].role is not a role: write storage-node or client-node',
  ],
  ['nodes: [{ name: a b, role: client-node, admin: "http://h:1" }]', 'INVALID_CONFIG', /^f: nodes\[0\]\.name is not a name/],
  [
    'nodes: [{ name: a, role: client-node, admin: "h:1" }]',
    'INVALID_CONFIG',
    'f: nodes[0].admin is not an address: write http://HOST:PORT',
  ],
  [
    'nodes: [{ name: a, role: client-node, admin: "http://h:1/x" }]',
    'INVALID_CONFIG',
    'f: nodes[0].admin is not an address: write http://HOST:PORT',
  ],
  [`nodes: [{ ${NODE}, port: 1 }]`, 'INVALID_CONFIG', 'f: nodes[0] has unknown keys: port'],
  [`node: []\nnodes: [{ ${NODE} }]`, 'INVALID_CONFIG', 'f: has unknown keys: node'],
  [`nodes: [{ ${NODE}, token: a, tokenFile: b }]`, 'INVALID_CONFIG', 'f: nodes[0] has a token and a tokenFile: give one of them'],
  [`nodes: [{ ${NODE}, tokenFile: nowhere }]`, 'INVALID_CONFIG', /^cannot read the token of storage-1, .*nowhere/],
  [
    `nodes: [{ ${NODE} }, { ${NODE} }]`,
    'INVALID_CONFIG',
    'f: nodes[1].name is "storage-1" a second time; nodes[1].admin is "http://10.0.0.1:7001" a second time',
  ],
])('a wrong cluster file is refused with each key that is wrong: %s', (text, code, message) => {
  expect(() => parseCluster(text, 'f')).toThrow(
    expect.objectContaining({ code, message: typeof message === 'string' ? message : expect.stringMatching(message) }),
  );
});

test('a cluster file that is not there is NOT_FOUND, with its whole path', () => {
  expect(() => readClusterFile(join(folder, 'none.yaml'))).toThrow(
    expect.objectContaining({ code: 'NOT_FOUND', message: expect.stringContaining(join(folder, 'none.yaml')) }),
  );
});
