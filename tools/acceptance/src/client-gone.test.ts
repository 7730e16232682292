import { GIB, KIB, MIB } from '@rmr/runtime';
import { afterEach, describe, expect, test } from 'vitest';
import { freePort, type RawConnection } from './support/raw-connection.ts';
import { NBD, negotiated, replyError, request } from './support/raw-nbd.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

/** Requests that a connection may have in flight; with more it is not read from. */
const IN_FLIGHT_MAX = 256;
const BLOCK = 4 * KIB;
const REQUEST_BYTES = 28;
/** Where the client that goes away writes what is in flight, and from where on what has to wait. */
const BEGUN_AT = 0;
const LATE_AT = 8 * MIB;
/** Kernels take so much at least of what nobody reads; in the test with little that is all of it. */
const TAKEN_BYTES_MIN = 128 * KIB;

let cluster: TestCluster;

afterEach(async () => {
  await cluster.dispose();
});

function write(offset: number, fill: number, cookie: number): Buffer {
  const header = request({ type: NBD.WRITE, offset: BigInt(offset), length: BLOCK, cookie: BigInt(cookie) });
  return Buffer.concat([header, Buffer.alloc(BLOCK, fill)]);
}

/** `connection` writes `count` blocks from `at` on, and has been answered. */
async function written(connection: RawConnection, at: number, count: number, fill: number): Promise<void> {
  for (let i = 0; i < count; i++) connection.send(write(at + i * BLOCK, fill, i));
  for (let i = 0; i < count; i++) expect(await replyError(connection)).toBe(0);
}

/** What the device holds there. */
async function stored(count: number): Promise<Buffer> {
  const connection = await negotiated(cluster.nbdUri);
  connection.send(request({ type: NBD.READ, offset: BigInt(LATE_AT), length: count * BLOCK }));
  expect(await replyError(connection)).toBe(0);
  const bytes = await connection.read(count * BLOCK);
  connection.drop();
  return bytes;
}

async function nothingUnderWay(): Promise<void> {
  await eventually(async () => {
    const { io, waitingIo } = await cluster.poolStatus();
    expect([io.inFlight, waitingIo]).toEqual([0, 0]);
  });
}

const WAYS: readonly { readonly how: string; readonly count: number; readonly leave: (connection: RawConnection) => void }[] = [
  { how: 'closes', count: 40, leave: (connection) => connection.drop() },
  { how: 'says that it sends no more', count: 40, leave: (connection) => connection.end() },
  { how: 'breaks off', count: 40, leave: (connection) => connection.breakOff() },
  // More than the kernels take: over TCP, the end of the connection is held up at the other end.
  { how: 'closes', count: 2048, leave: (connection) => connection.drop() },
];

describe.each(['tcp', 'unix'] as const)('a client that goes away with writes that were not begun, on %s', (kind) => {
  test.each(WAYS)('and $how: none of $count is ever carried out, and what another client writes there stays', async ({ leave, count }) => {
    cluster = await TestCluster.start(kind === 'tcp' ? { nbd: { port: await freePort() } } : {});
    const gone = await negotiated(cluster.nbdUri);
    const other = await negotiated(cluster.nbdUri);
    await written(other, LATE_AT, count, 0x11);
    await Promise.all(['storage-1', 'storage-2'].map((name) => cluster.command('pause', name)));
    for (let i = 0; i < IN_FLIGHT_MAX; i++) gone.send(write(BEGUN_AT + i * BLOCK, 0xaa, i));
    await eventually(async () => {
      const { io, waitingIo } = await cluster.poolStatus();
      expect(io.inFlight + waitingIo).toBe(IN_FLIGHT_MAX);
    });
    for (let i = 0; i < count; i++) gone.send(write(LATE_AT + i * BLOCK, 0xaa, 1000 + i));
    // It has handed to its kernel what that takes; the rest never leaves the process.
    await gone.taken(Math.max(0, count * (REQUEST_BYTES + BLOCK) - TAKEN_BYTES_MIN));
    leave(gone);

    for (let i = 0; i < count; i++) other.send(write(LATE_AT + i * BLOCK, 0xbb, i));
    await Promise.all(['storage-1', 'storage-2'].map((name) => cluster.command('resume', name)));
    for (let i = 0; i < count; i++) expect(await replyError(other)).toBe(0);
    other.drop();
    await nothingUnderWay();
    const bytes = await stored(count);
    const overwritten = bytes.reduce((sum, byte) => sum + (byte === 0xbb ? 0 : 1), 0);
    expect(overwritten, `of ${bytes.length} bytes`).toBe(0);
    await eventually(async () => expect((await cluster.clientStatus()).exports[0]?.connections).toEqual([]));
    await cluster.expectIdenticalMembers();
  });
});

describe('a client that goes away with discards of which most pieces wait for their turn', () => {
  const DISCARDS = 200;
  const DISCARD_BYTES = 4 * GIB - BLOCK;
  const LAST = DISCARD_BYTES - BLOCK;
  const leaves = [
    { how: 'with DISC', leave: (connection: RawConnection) => connection.send(request({ type: NBD.DISC })) },
    { how: 'by closing', leave: (connection: RawConnection) => connection.drop() },
    { how: 'without a word, so far', leave: () => {} },
  ];

  test.each(leaves)('$how: what another client writes there afterwards stays', async ({ leave }) => {
    cluster = await TestCluster.start({ size: '8GiB' });
    const gone = await negotiated(cluster.nbdUri);
    const other = await negotiated(cluster.nbdUri);
    for (let i = 0; i < DISCARDS; i++) gone.send(request({ type: NBD.TRIM, length: DISCARD_BYTES, cookie: BigInt(i) }));
    await eventually(async () => expect((await cluster.poolStatus()).io.inFlight).toBeGreaterThan(0));
    leave(gone);
    other.send(write(LAST, 0xbb, 1));
    expect(await replyError(other)).toBe(0);
    await nothingUnderWay();
    other.send(request({ type: NBD.READ, offset: BigInt(LAST), length: BLOCK }));
    expect(await replyError(other)).toBe(0);
    expect((await other.read(BLOCK)).every((byte) => byte === 0xbb)).toBe(true);
    other.drop();
    gone.drop();
  });
});
