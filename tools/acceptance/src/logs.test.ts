import { request } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, TestCluster } from './support/test-cluster.ts';

type Line = Readonly<Record<string, unknown>> & { readonly level: string; readonly event: string };

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start();
});

afterAll(async () => {
  await cluster.dispose();
});

function lines(name: string): Line[] {
  return cluster
    .log(name)
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);
}

const isWarning = ({ level }: Line): boolean => level === 'warn' || level === 'error';

/** A request that a web page could send: without a token it is refused. */
function askAsWebPage(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(`${url}/metrics`, { headers: { origin: 'http://elsewhere.example' } }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    asked.on('error', reject).end();
  });
}

test('logs: with warnings alone, the loss of redundancy and of service are seen, with pool and member', async () => {
  const { name: pool } = cluster.file.pool;
  await eventually(() => expect(lines('client-1').at(-1)).toMatchObject({ event: 'pool health', level: 'info', to: 'healthy' }));
  await cluster.killNow('storage-2');
  const health = () => lines('client-1').filter((line) => isWarning(line) && line.event === 'pool health');
  await eventually(() => expect(health().at(-1)).toMatchObject({ level: 'warn', pool, from: 'healthy', to: 'degraded' }));
  expect(health().at(-1)?.['why']).toContain('member 2 (storage-2) is out of the in-sync set');
  expect(health().at(-1)?.['remedy']).toContain('Start storage-2');
  const lost = lines('client-1').find(({ event, to }) => event === 'leg state' && to === 'FAILED');
  expect(lost).toMatchObject({ level: 'warn', pool, member: 2, node: 'storage-2' });

  await cluster.killNow('storage-1');
  await eventually(() => expect(health().at(-1)).toMatchObject({ level: 'error', pool, from: 'degraded', to: 'down' }));
  expect(health().at(-1)?.['why']).toContain(`pool ${pool} is not served: it waits for`);

  await cluster.command('start', 'storage-1', 'storage-2');
  await cluster.command('wait', '--healthy');
  await eventually(() => {
    const last = lines('client-1').filter(({ event }) => event === 'pool health');
    expect(last.at(-1)).toMatchObject({ level: 'info', to: 'healthy' });
  });
});

test('logs: a request that is refused a hundred times leaves four lines, and at the end their number', async () => {
  const { admin } = cluster.file.clientNode;
  for (let i = 0; i < 100; i++) expect(await askAsWebPage(admin)).toBe(403);
  const refused = () => lines('client-1').filter(({ event }) => event === 'admin request refused');
  expect(refused()).toHaveLength(4);
  await cluster.down();
  expect(refused()).toHaveLength(5);
  expect(refused().at(-1)?.['repeated']).toBe(96);
});
