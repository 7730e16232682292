import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import type { ByteStream, StreamListener } from '../stream.ts';
import { SocketTransport } from './socket-transport.ts';

const folder = mkdtempSync(join(tmpdir(), 'rmr-peer-'));
const unix = `unix:${folder}/peer`;
const TCP = 'tcp://127.0.0.1:0';
const WITHIN = { timeout: 20_000, interval: 5 };
vi.setConfig({ testTimeout: 60_000 });

let listener: StreamListener | null = null;
let client: Socket | null = null;

afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  client?.destroy();
  listener?.close();
});

interface Pair {
  readonly client: Socket;
  readonly stream: ByteStream;
  readonly received: () => number;
  readonly closed: () => string;
}

/** A connection whose server's end is not read from. */
async function paused(address: string): Promise<Pair> {
  let received = 0;
  let closed = '';
  const stream = await new Promise<ByteStream>((resolve, reject) => {
    new SocketTransport().listen(
      address,
      (accepted) => {
        const target = new Uint8Array(65_536);
        accepted.attach({
          receiveTarget: () => target,
          onReceived: (byteCount) => {
            received += byteCount;
            accepted.pauseReading();
          },
          onWritten: () => {},
          onClosed: (reason) => {
            closed = reason;
          },
        });
        resolve(accepted);
      },
      (listening) => {
        listener = listening;
        const { hostname, port } = new URL(listening.address.replace('tcp:', 'http:').replace('unix:', 'http:'));
        client = address === unix ? connect({ path: `${folder}/peer` }) : connect({ host: hostname, port: Number(port) });
        client.on('error', () => {});
        client.write('x');
      },
      (code) => reject(new Error(code)),
    );
  });
  await vi.waitFor(() => expect(received).toBe(1), WITHIN);
  return { client: client as unknown as Socket, stream, received: () => received, closed: () => closed };
}

describe.each([TCP, unix])('the peer of a stream that is not read from, on %s', (address) => {
  test('that is there is not gone, whether it has sent anything or not', async () => {
    const { client, stream } = await paused(address);
    expect(stream.peerIsGone()).toBe(false);
    await new Promise((resolve) => client.write('some more', resolve));
    expect(stream.peerIsGone()).toBe(false);
    expect(stream.silentMs()).toBeLessThan(10_000);
  });

  test('that has closed is gone before anything of what it had sent is read', async () => {
    const pair = await paused(address);
    await new Promise((resolve) => pair.client.write(new Uint8Array(1000), resolve));
    pair.client.destroy();
    await vi.waitFor(() => expect(pair.stream.peerIsGone()).toBe(true), WITHIN);
    expect([pair.received(), pair.closed()]).toEqual([1, '']);
  });

  test('that has broken off is gone', async () => {
    const { client, stream } = await paused(address);
    if (address === TCP) client.resetAndDestroy();
    else client.destroy();
    await vi.waitFor(() => expect(stream.peerIsGone()).toBe(true), WITHIN);
  });

  test('of a stream that was destroyed here is gone', async () => {
    const { stream, closed } = await paused(address);
    stream.destroy('enough');
    expect(stream.peerIsGone()).toBe(true);
    await vi.waitFor(() => expect(closed()).toBe('enough'), WITHIN);
    expect(stream.silentMs()).toBe(0);
  });
});

test('TCP: an end that is held up behind what this host has no room for does not show; a byte that is sent brings the news', async () => {
  const { client, stream } = await paused(TCP);
  let taken = false;
  client.write(new Uint8Array(32 << 20), () => {
    taken = true;
  });
  // Some of it stays with the sender for good, in its kernel once the process has gone: here, as its socket is closed unread.
  await vi.waitFor(() => expect(client.bytesWritten).toBeGreaterThan(1), WITHIN);
  expect(taken).toBe(false);
  client.end();
  expect(stream.peerIsGone()).toBe(false);
  client.destroy();
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  expect(stream.peerIsGone()).toBe(false);
  const before = stream.takenBytes;
  stream.write(new Uint8Array(16));
  stream.flush();
  expect(stream.takenBytes).toBe(before + 16);
  await vi.waitFor(() => expect(stream.peerIsGone()).toBe(true), WITHIN);
});

test('TCP: what a peer that is there gets is confirmed, also while it does not read', async () => {
  const { client, stream } = await paused(TCP);
  client.pause();
  stream.write(new Uint8Array(16));
  stream.flush();
  await vi.waitFor(() => expect(stream.confirmedBytes()).toBe(16), WITHIN);
});

test('a unix socket hides nothing, so nothing has to be confirmed', async () => {
  const { stream } = await paused(unix);
  expect(stream.confirmedBytes()).toBeNull();
});
