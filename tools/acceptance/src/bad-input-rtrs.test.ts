import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { KIB, randomBelow, SeededRandom } from '@rmr/runtime';
import { afterAll, beforeAll, expect } from 'vitest';
import { besideBystander } from './support/attack.ts';
import { startProgram } from './support/command.ts';
import { CLIENT_NODE } from './support/paths.ts';
import { freePort, RawConnection } from './support/raw-connection.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

const SEED = 20_261;
/** A frame's header and a handshake. */
const WELCOME_BYTES = 32 + 160;
const test = testNeeding('python3-libnbd');

let cluster: TestCluster;
/** The first bytes that a real client node says to a storage node. */
let hello: Buffer;

beforeAll(async () => {
  cluster = await TestCluster.start({ transport: 'tcp' });
  hello = await recordHello();
});

afterAll(async () => {
  await cluster.dispose();
});

/** Starts a client node against a listener of this test, and keeps what it says first. */
async function recordHello(): Promise<Buffer> {
  let received = Buffer.alloc(0);
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
    });
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port }, () => resolve()));
  const config = join(cluster.folder, 'recorded-client.json');
  writeFileSync(
    config,
    JSON.stringify({
      name: 'recorded',
      stateDir: join(cluster.folder, 'recorded-state'),
      admin: { listen: `http://127.0.0.1:${await freePort()}` },
      nbd: { listen: [`unix:${join(cluster.folder, 'recorded.sock')}`] },
      pools: [
        {
          name: cluster.file.pool.name,
          uuid: cluster.file.pool.uuid,
          members: [{ memberId: 1, name: 'storage-1', addresses: [`tcp://127.0.0.1:${port}`] }],
        },
      ],
    }),
  );
  const client = startProgram(process.execPath, [CLIENT_NODE, 'run', '--config', config]);
  try {
    await eventually(() => expect(received.length, client.stderr()).toBeGreaterThan(16));
    return received;
  } finally {
    client.signal('SIGKILL');
    await client.ended;
    server.close();
  }
}

/** A connection to the RTRS port of the first storage node. */
function connected(): Promise<RawConnection> {
  const url = new URL(cluster.file.storageNodes[0]?.rtrs as string);
  return RawConnection.open({ host: url.hostname, port: Number(url.port) });
}

function attack(title: string, run: () => Promise<void>): void {
  test(`rtrs port: ${title}`, async () => {
    await besideBystander(cluster, run);
    // The real session never went down.
    const sessions = (await cluster.clientStatus()).sessions.flatMap((session) => session.paths);
    expect(sessions.map((path) => path.state)).toEqual(sessions.map(() => 'UP'));
    expect((await cluster.poolStatus()).legs.map((leg) => leg.state)).toEqual(['NORMAL', 'NORMAL']);
  });
}

attack('random bytes close that connection alone, and the log says why', async () => {
  const from = cluster.log('storage-1').length;
  const random = new SeededRandom(SEED);
  for (let i = 0; i < 100; i++) {
    const connection = await connected();
    const bytes = new Uint8Array(1 + randomBelow(random, 8 * KIB));
    for (let at = 0; at < bytes.length; at++) bytes[at] = random.u32();
    connection.send(bytes);
    connection.end();
    await connection.closing();
  }
  expect(cluster.log('storage-1').slice(from)).toMatch(/magic|checksum/i);
});

attack('a handshake that is cut anywhere leaves nothing behind', async () => {
  for (let length = 0; length < hello.length; length += length < 64 ? 1 : 7) {
    const connection = await connected();
    connection.send(hello.subarray(0, length));
    if (length % 2 === 0) {
      connection.end();
      await connection.closing();
    } else connection.drop();
  }
});

attack('a handshake with any byte changed is refused', async () => {
  for (let at = 0; at < hello.length; at++) {
    const connection = await connected();
    const changed = Buffer.from(hello);
    changed[at] = (changed[at] as number) ^ (1 << (at % 8));
    connection.send(changed);
    connection.end();
    await connection.closing();
  }
});

attack('lengths of 4 GiB are not waited for', async () => {
  const random = new SeededRandom(SEED + 1);
  for (let at = 0; at + 4 <= Math.min(hello.length, 64); at += 4) {
    const connection = await connected();
    const changed = Buffer.from(hello);
    changed.writeUInt32LE(0xffff_ffff, at);
    const more = new Uint8Array(64 * KIB);
    for (let i = 0; i < more.length; i += 997) more[i] = random.u32();
    connection.send(changed, more);
    connection.end();
    await connection.closing();
  }
});

attack('a good handshake with rubbish behind it closes that connection alone', async () => {
  const random = new SeededRandom(SEED + 2);
  for (let i = 0; i < 30; i++) {
    const connection = await connected();
    const rubbish = new Uint8Array(1 + randomBelow(random, 16 * KIB));
    for (let at = 0; at < rubbish.length; at++) rubbish[at] = random.u32();
    connection.send(hello, rubbish);
    connection.end();
    await connection.closing();
  }
});

attack('connections that say nothing are closed in time and hold nobody up', async () => {
  const silent: RawConnection[] = [];
  for (let i = 0; i < 300; i++) silent.push(await connected());
  // They hold no place that a peer needs which has something to say.
  const polite = await connected();
  polite.send(hello);
  await polite.read(WELCOME_BYTES);
  polite.drop();
  for (const connection of silent) await connection.closing();
});

attack('hundreds of connections can be opened and dropped', async () => {
  for (let i = 0; i < 500; i++) {
    const connection = await connected();
    if (i % 3 === 0) connection.send(hello);
    connection.drop();
  }
});
