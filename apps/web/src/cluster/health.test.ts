import type { Health, NodeStatus } from '@rmr/admin-api';
import { expect, test } from 'vitest';
import { overallHealth } from './health.ts';
import type { ObservedNode } from './overview.ts';

const HEALTHY: Health = { level: 'healthy', sentence: 'All data is on 2 members.' };
const DEGRADED: Health = { level: 'degraded', sentence: 'Member 2 is out of the in-sync set.' };
const DOWN: Health = { level: 'down', sentence: 'No member serves IO.' };

const IDENTITY = { hostUuid: '', bootId: '', incarnation: '', version: '', pid: 1, startedAt: '', uptimeSeconds: 1 };

function status(role: NodeStatus['role'], name: string, health: Health): NodeStatus {
  const node = { ...IDENTITY, name };
  return role === 'client-node'
    ? { role, node, health, sessions: [], nbdAddresses: [], pools: [], exports: [] }
    : { role, node, health, sessions: [], rtrsAddresses: [], pools: [], stores: [] };
}

function client(health: Health): ObservedNode {
  return { name: 'client-1', role: 'client-node', admin: 'c', pid: 1, status: status('client-node', 'client-1', health), error: null };
}

function storage(health: Health, name = 'storage-1'): ObservedNode {
  return { name, role: 'storage-node', admin: name, pid: 1, status: status('storage-node', name, health), error: null };
}

function silent(node: ObservedNode, pid: number | null = 1): ObservedNode {
  return { ...node, pid, status: null, error: 'connection refused' };
}

test('healthy is said only when every daemon has said so', () => {
  expect(overallHealth([client(HEALTHY), storage(HEALTHY)])).toEqual({ level: 'healthy', sentence: HEALTHY.sentence });
});

test('what daemons say of themselves reads as sentences', () => {
  const nodes = [client({ level: 'degraded', sentence: 'member 2 is out of the in-sync set' }), silent(storage(HEALTHY))];
  expect(overallHealth(nodes).sentence).toBe('member 2 is out of the in-sync set. storage-1 has not said how it is.');
});

test.each([
  ['a storage node that does not answer', [client(HEALTHY), silent(storage(HEALTHY))], 'degraded', 'storage-1 has not said how it is.'],
  ['a storage node that is stopped', [client(HEALTHY), silent(storage(HEALTHY), null)], 'degraded', 'storage-1 is stopped.'],
  ['a storage node that is not well', [client(HEALTHY), storage(DEGRADED)], 'degraded', 'storage-1: Member 2'],
  ['a storage node that is down while IO is served', [client(HEALTHY), storage(DOWN)], 'degraded', 'storage-1: No member'],
  ['a client node that is not well', [client(DEGRADED), storage(HEALTHY)], 'degraded', 'Member 2'],
  ['a client node that is down', [client(DOWN), storage(HEALTHY)], 'down', 'No member serves IO'],
  ['a client node that does not answer', [silent(client(HEALTHY)), storage(HEALTHY)], 'unknown', 'Whether IO is served is unknown'],
  ['a client node that is stopped', [silent(client(HEALTHY), null), storage(HEALTHY)], 'down', 'No IO is served'],
  ['no client node at all', [storage(HEALTHY)], 'unknown', 'nobody can say whether IO is served'],
  ['no node at all', [], 'unknown', 'nothing can be said'],
] as const)('%s is not healthy, and the sentence says why', (_name, nodes, level, sentence) => {
  const health = overallHealth(nodes);
  expect(health.level).toBe(level);
  expect(health.sentence).toContain(sentence);
});
