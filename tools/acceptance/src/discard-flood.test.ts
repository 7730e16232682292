import { afterEach, expect } from 'vitest';
import { succeeded } from './support/command.ts';
import { nbdScript } from './support/nbd-script.ts';
import { testNeeding } from './support/requirements.ts';
import { TestCluster } from './support/test-cluster.ts';

const test = testNeeding('python3-libnbd');

let cluster: TestCluster;

afterEach(async () => {
  await cluster.dispose();
});

test('whoever reads and writes does not wait for a flood of discards, and no member leaves for it', async () => {
  cluster = await TestCluster.start({ size: '64GiB' });
  succeeded(
    await nbdScript(
      cluster.nbdUri,
      `
flood = connect()
h.pwrite(b"\\x55" * 4096, 0)
COUNT = 200
for i in range(COUNT):
    at = (i % 15) * (1 << 32) + (1 << 20)
    flood.aio_trim((1 << 32) - (1 << 20), at)
for _ in range(8):
    assert h.pread(4096, 0) == b"\\x55" * 4096
    h.pwrite(b"\\x55" * 4096, 0)
flood.poll(0)
# Order counts, and not time: eight reads and writes have ended, and most discards have not.
assert flood.aio_in_flight() > COUNT / 4, f"{flood.aio_in_flight()} discards were left when others had their turn"
while flood.aio_in_flight() > 0:
    flood.poll(-1)
`,
    ),
  );
  for (const { name } of cluster.file.storageNodes) expect((await cluster.leg(name)).state).toBe('NORMAL');
  expect(cluster.log('client-1')).not.toContain('"to":"FAILED"');
});
