import { expect, test } from 'vitest';
import { FioLoad, fioAvailable, whyWithoutFio } from './fio-load.ts';
import { TestingServer } from './testing-server.ts';

test.skipIf(!fioAvailable())('fio is not started against a client node that was lost while it was asked whether it serves', async () => {
  const server = new TestingServer(1024 * 1024);
  await server.listen();
  const { socket, export: name } = server.address;
  const uri = `nbd+unix:///${name}?socket=${(socket as { path: string }).path}`;
  let connections = 0;
  let askedAfterwards = 0;
  const load = new FioLoad({
    firstByte: 0,
    lengthBytes: 1024 * 1024,
    uri: () => {
      if (connections === 0) return uri;
      askedAfterwards++;
      return null;
    },
    folder: '.',
  });
  server.onConnection = () => {
    connections++;
    load.serverLost();
  };
  await expect.poll(() => askedAfterwards + (load.failure === null ? 0 : 1), { timeout: 60_000 }).toBeGreaterThan(0);
  expect([load.failure, connections]).toEqual([null, 1]);
  await load.kill();
  await server.close();
});

test('where fio is missing, the run goes on without it and says so; where nothing may be left out, it does not begin', () => {
  const needs = { volatileCache: false, complete: false, available: () => false };
  expect(whyWithoutFio(needs)).toContain('not installed');
  expect(() => whyWithoutFio({ ...needs, complete: true })).toThrow(/not installed.*CI=true.*Install it/);
  expect(whyWithoutFio({ ...needs, complete: true, available: () => true })).toBeNull();
  // Not wanted is not missing.
  expect(whyWithoutFio({ ...needs, complete: true, volatileCache: true })).toContain('power loss');
});
