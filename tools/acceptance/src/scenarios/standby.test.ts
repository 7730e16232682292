import { createAdminClient } from '@rmr/admin-api';
import { afterEach, beforeEach, expect } from 'vitest';
import { succeeded } from '../support/command.ts';
import { nbdScript } from '../support/nbd-script.ts';
import { testNeeding } from '../support/requirements.ts';
import { eventually, TestCluster } from '../support/test-cluster.ts';

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.start({ clientNodes: 2 });
  await cluster.command('start', 'client-2');
});

afterEach(async () => {
  await cluster.dispose();
});

testNeeding('python3-libnbd')(
  'a client node that stands by takes the pool over by itself, with all that was acknowledged',
  async () => {
    const [first, second] = cluster.file.clientNodes;
    const admin = second?.admin ?? '';
    await eventually(async () => {
      const answer = await fetch(`${admin}/readyz`);
      expect([answer.status, await answer.text()]).toEqual([
        503,
        expect.stringContaining('client-1, which the pool is served to, to leave it'),
      ]);
    });
    succeeded(await nbdScript(first?.nbdUri ?? '', 'h.pwrite(b"\\x71" * 65536, 4096); h.flush()'));

    await cluster.killNow('client-1');
    await eventually(async () => expect((await fetch(`${admin}/readyz`)).status).toBe(200));
    succeeded(await nbdScript(second?.nbdUri ?? '', 'assert h.pread(65536, 4096) == b"\\x71" * 65536; h.pwrite(b"\\x72" * 512, 0)'));

    // The first one is the standby now.
    await cluster.command('start', 'client-1');
    const status = await createAdminClient({ url: admin }).status.query();
    expect(status.health.level).not.toBe('down');
    expect((await fetch(`${first?.admin}/readyz`)).status).toBe(503);
  },
  150_000,
);
