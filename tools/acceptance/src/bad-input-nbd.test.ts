import { parseNbdUri } from '@rmr/cluster';
import { KIB, MIB, randomBelow, SeededRandom } from '@rmr/runtime';
import { afterAll, beforeAll, expect } from 'vitest';
import { besideBystander } from './support/attack.ts';
import { freePort, RawConnection } from './support/raw-connection.ts';
import { clientFlags, goData, greeted, NBD, negotiated, option, optionReply, replyError, request } from './support/raw-nbd.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

const SEED = 20_260;
/** What a client node takes at a time unless told otherwise. */
const CONNECTIONS_MAX = 256;
/** Those among them that have not chosen an export. */
const NEGOTIATIONS_MAX = 32;
const test = testNeeding('python3-libnbd');

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({ transport: 'tcp', nbd: { port: await freePort() } });
});

afterAll(async () => {
  await cluster.dispose();
});

/** A claim about an attack: afterwards the daemons are unharmed, and another client never noticed. */
function attack(title: string, run: () => Promise<void>): void {
  test(`nbd port: ${title}`, async () => {
    await besideBystander(cluster, run);
  });
}

/** The connection still answers: a read in range succeeds. */
async function expectUsable(connection: RawConnection): Promise<void> {
  connection.send(request({ type: NBD.READ, length: 512 }));
  expect(await replyError(connection)).toBe(0);
  await connection.read(512);
  connection.drop();
}

/** What the client node has logged since `from`. */
function logSince(from: number): string {
  return cluster.log('client-1').slice(from);
}

// First, as the log tells what repeats at growing intervals only.
attack('a wrong option magic closes the connection and is logged with a reason', async () => {
  const from = cluster.log('client-1').length;
  const connection = await greeted(cluster.nbdUri);
  connection.send(clientFlags(), Buffer.from('IHAVEN0T\0\0\0\x07\0\0\0\0', 'latin1'));
  await connection.closing();
  await eventually(() => expect(logSince(from)).toMatch(/IHAVEOPT/));
});

attack('a wrong request magic closes the connection and is logged with a reason', async () => {
  const from = cluster.log('client-1').length;
  const connection = await negotiated(cluster.nbdUri);
  connection.send(request({ type: NBD.READ, length: 512, magic: 0x2560_9514 }));
  await connection.closing();
  await eventually(() => expect(logSince(from)).toMatch(/magic/i));
});

attack('a write that claims 4 GiB closes the connection and is logged with a reason', async () => {
  const from = cluster.log('client-1').length;
  const connection = await negotiated(cluster.nbdUri);
  connection.send(request({ type: NBD.WRITE, length: 0xffff_ffff }), Buffer.alloc(64 * KIB));
  await connection.closing();
  await eventually(() => expect(logSince(from)).toMatch(/reason/i));
});

attack('random bytes in place of a handshake close that connection alone', async () => {
  const random = new SeededRandom(SEED);
  for (let i = 0; i < 100; i++) {
    const connection = await greeted(cluster.nbdUri);
    const bytes = new Uint8Array(1 + randomBelow(random, 4 * KIB));
    for (let at = 0; at < bytes.length; at++) bytes[at] = random.u32();
    connection.send(bytes);
    connection.end();
    await connection.closing();
  }
});

attack('random bytes after a handshake close that connection alone', async () => {
  const random = new SeededRandom(SEED + 1);
  for (let i = 0; i < 50; i++) {
    const connection = await negotiated(cluster.nbdUri);
    const bytes = new Uint8Array(28 + randomBelow(random, 4 * KIB));
    for (let at = 0; at < bytes.length; at++) bytes[at] = random.u32();
    connection.send(bytes);
    connection.end();
    await connection.closing();
  }
});

attack('a handshake that is cut anywhere leaves nothing behind', async () => {
  const name = parseNbdUri(cluster.nbdUri).export;
  const whole = Buffer.concat([clientFlags(), option(NBD.OPT_GO, goData(name)), request({ type: NBD.WRITE, length: 4096 })]);
  for (let length = 0; length <= whole.length; length++) {
    const connection = await greeted(cluster.nbdUri);
    connection.send(whole.subarray(0, length));
    if (length % 2 === 0) {
      connection.end();
      await connection.closing();
    } else connection.drop();
  }
  await eventually(async () => expect((await cluster.clientStatus()).exports[0]?.connections.length).toBe(1));
});

attack('an option that claims 4 GiB is not waited for', async () => {
  const connection = await greeted(cluster.nbdUri);
  connection.send(clientFlags(), option(NBD.OPT_GO, Buffer.alloc(64), 0xffff_ffff));
  await connection.closing();
});

attack('an unknown option is refused and the negotiation goes on', async () => {
  const connection = await greeted(cluster.nbdUri);
  connection.send(clientFlags(), option(0x7fff, Buffer.alloc(512)));
  expect(await optionReply(connection)).toBe(NBD.REP_ERR_UNSUP);
  connection.send(option(NBD.OPT_GO, goData('no-such-export', 0xffff)));
  expect(await optionReply(connection)).toBe(NBD.REP_ERR_INVALID);
  connection.send(option(NBD.OPT_GO, goData(parseNbdUri(cluster.nbdUri).export)));
  let type = await optionReply(connection);
  while (type !== NBD.REP_ACK && type < 0x8000_0000) type = await optionReply(connection);
  expect(type).toBe(NBD.REP_ACK);
  await expectUsable(connection);
});

attack('options without end from a client that reads no answer are held back', async () => {
  const connection = await greeted(cluster.nbdUri);
  connection.send(clientFlags());
  connection.stopReading();
  const many = Buffer.concat(Array.from({ length: 1000 }, () => option(NBD.OPT_LIST, Buffer.alloc(0))));
  for (let i = 0; i < 100; i++) connection.send(many);
  const other = await negotiated(cluster.nbdUri);
  await expectUsable(other);
  connection.drop();
});

attack('a read, zeroing, trim or status of 4 GiB is refused with EINVAL, and the connection goes on', async () => {
  const connection = await negotiated(cluster.nbdUri);
  for (const type of [NBD.READ, NBD.TRIM, NBD.CACHE, NBD.BLOCK_STATUS]) {
    connection.send(request({ type, length: 0xffff_ffff }));
    expect(await replyError(connection), `command ${type}`).toBe(NBD.EINVAL);
  }
  connection.send(request({ type: NBD.WRITE_ZEROES, length: 0xffff_ffff }));
  expect([NBD.EINVAL, NBD.ENOSPC]).toContain(await replyError(connection));
  await expectUsable(connection);
});

attack('unknown commands and flags are refused with EINVAL, and the connection goes on', async () => {
  const connection = await negotiated(cluster.nbdUri);
  for (const type of [9, 99, 0xffff]) {
    connection.send(request({ type, length: 512 }));
    expect(await replyError(connection), `command ${type}`).toBe(NBD.EINVAL);
  }
  connection.send(request({ type: NBD.READ, flags: 0xff00, length: 512 }));
  expect(await replyError(connection)).toBe(NBD.EINVAL);
  await expectUsable(connection);
});

attack('offsets out of range are refused, payloads are skipped, and the connection goes on', async () => {
  const connection = await negotiated(cluster.nbdUri);
  const size = BigInt(cluster.sizeBytes);
  for (const offset of [size, size - 1n, 2n ** 63n, 2n ** 64n - 512n, 2n ** 64n - 1n]) {
    connection.send(request({ type: NBD.READ, offset, length: 512 }));
    expect(await replyError(connection), `read at ${offset}`).toBe(NBD.EINVAL);
    connection.send(request({ type: NBD.WRITE, offset, length: 512 }), Buffer.alloc(512));
    expect([NBD.EINVAL, NBD.ENOSPC], `write at ${offset}`).toContain(await replyError(connection));
  }
  await expectUsable(connection);
});

attack('a client that sends reads and takes no answer is held back', async () => {
  const connection = await negotiated(cluster.nbdUri);
  connection.stopReading();
  for (let i = 0; i < 1000; i++)
    connection.send(request({ type: NBD.READ, offset: BigInt((i % 60) * MIB), length: MIB, cookie: BigInt(i) }));
  const other = await negotiated(cluster.nbdUri);
  await expectUsable(other);
  connection.drop();
});

attack('connections that stop in the middle of a request hold nobody up', async () => {
  const stuck: RawConnection[] = [];
  for (let i = 0; i < 50; i++) {
    const connection = await negotiated(cluster.nbdUri);
    connection.send(request({ type: NBD.WRITE, length: MIB }), Buffer.alloc(i * 1000));
    stuck.push(connection);
  }
  await expectUsable(await negotiated(cluster.nbdUri));
  for (const connection of stuck) connection.drop();
});

attack('hundreds of connections can be opened and dropped, with requests in flight', async () => {
  for (let i = 0; i < 500; i++) {
    const connection = await (i % 5 === 0 ? negotiated(cluster.nbdUri) : greeted(cluster.nbdUri));
    if (i % 5 === 0) connection.send(request({ type: NBD.READ, length: MIB }), request({ type: NBD.FLUSH }));
    connection.drop();
  }
  await eventually(async () => expect((await cluster.clientStatus()).exports[0]?.connections.length).toBe(1));
});

attack('connections beyond the limit are refused, and a place that becomes free is taken', async () => {
  const many: RawConnection[] = [];
  // The bystander has one.
  for (let i = 0; i < CONNECTIONS_MAX - 1; i++) many.push(await negotiated(cluster.nbdUri));
  await expect(negotiated(cluster.nbdUri)).rejects.toThrow();
  expect(many.some((connection) => connection.closed)).toBe(false);
  many.pop()?.drop();
  await eventually(async () => expectUsable(await negotiated(cluster.nbdUri)));
  for (const connection of many) connection.drop();
});

attack('connections that say nothing keep nobody out', async () => {
  const silent: RawConnection[] = [];
  for (let i = 0; i < CONNECTIONS_MAX + 50; i++) silent.push(await RawConnection.open(parseNbdUri(cluster.nbdUri).socket));
  await expectUsable(await negotiated(cluster.nbdUri));
  await eventually(() => expect(silent.filter((connection) => !connection.closed).length).toBeLessThanOrEqual(NEGOTIATIONS_MAX));
  expect(cluster.log('client-1')).toContain('made way for others');
  for (const connection of silent) connection.drop();
});
