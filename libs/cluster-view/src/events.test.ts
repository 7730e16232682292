import type { EventView } from '@rmr/admin-api';
import { expect, test } from 'vitest';
import { EventFollower, newestEvents } from './events.ts';
import { startCluster } from './testing-cluster.ts';

function event(number: number, second: number, over: Partial<EventView> = {}): EventView {
  const at = `2026-12-01T02:44:${String(second).padStart(2, '0')}.000Z`;
  return { number, at, kind: 'leg-lost', severity: 'info', target: '', sentence: `event ${second}`, fields: {}, ...over };
}

test('the newest events of all nodes come in the order of their times, and a silent node is named', async () => {
  const { simulated, cluster } = await startCluster();
  simulated.node('storage-1').events.push(event(1, 1), event(2, 4, { severity: 'critical' }));
  simulated.node('client-1').events.push(event(1, 2), event(2, 3), event(3, 5));
  await simulated.node('storage-3').stop();
  const { events, unheard } = await newestEvents(cluster, 4);
  expect(events.map(({ node, sentence }) => `${node} ${sentence}`)).toEqual([
    'client-1 event 2',
    'client-1 event 3',
    'storage-1 event 4',
    'client-1 event 5',
  ]);
  expect(unheard).toMatchObject([{ node: 'storage-3' }]);
  expect((await newestEvents(cluster, 10, { severity: 'warning' })).events).toMatchObject([{ sentence: 'event 4' }]);
  expect((await newestEvents(cluster, 10, { node: 'client-1' })).events).toHaveLength(3);
});

test('events are followed from now on; those of a node that was away come later; what was dropped is told', async () => {
  const { simulated, cluster } = await startCluster();
  const [storage, client] = [simulated.node('storage-1'), simulated.node('client-1')];
  storage.events.push(event(1, 1));
  const follower = new EventFollower(cluster);
  expect((await follower.next()).events).toEqual([]);
  storage.events.push(event(2, 2));
  client.events.push(event(1, 3));
  expect((await follower.next()).events.map(({ sentence }) => sentence)).toEqual(['event 2', 'event 3']);
  await storage.stop();
  expect((await follower.next()).lost).toMatchObject([{ node: 'storage-1' }]);
  expect((await follower.next()).lost).toEqual([]);
  storage.events.push(event(3, 4), event(4, 5));
  storage.oldest = 4;
  await storage.start();
  expect(await follower.next()).toMatchObject({ events: [{ sentence: 'event 5' }], gaps: ['storage-1'], found: ['storage-1'], lost: [] });
  expect(await follower.next()).toMatchObject({ events: [], gaps: [] });
});

test('more events than one answer holds are not lost', async () => {
  const { simulated, cluster } = await startCluster();
  const follower = new EventFollower(cluster);
  await follower.next();
  for (let number = 1; number <= 700; number++) simulated.node('client-1').events.push(event(number, 1));
  expect((await follower.next()).events).toHaveLength(500);
  expect((await follower.next()).events.at(-1)?.number).toBe(700);
});
