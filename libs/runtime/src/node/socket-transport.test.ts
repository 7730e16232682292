import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ReceiveBuffer } from '../receive-buffer.ts';
import { SendQueue } from '../send-queue.ts';
import { SlabPool } from '../slab.ts';
import type { ByteStream, StreamListener } from '../stream.ts';
import { SocketTransport } from './socket-transport.ts';

const folder = mkdtempSync(join(tmpdir(), 'rmr-socket-'));
afterAll(() => rmSync(folder, { recursive: true }));

function listening(transport: SocketTransport, address: string, onConnection: (stream: ByteStream) => void): Promise<StreamListener> {
  return new Promise((resolve, reject) =>
    transport.listen(address, onConnection, resolve, (code, reason) => reject(new Error(`${code} ${reason}`))),
  );
}

describe.each(['tcp://127.0.0.1:0', `unix:${folder}/echo`])('socket stream on %s', (address) => {
  test('every byte arrives once and in order, through frames larger than any read', async () => {
    const transport = new SocketTransport();
    const pool = new SlabPool();
    const total = 20_000_000;
    let frames = 0;
    let closed = '';
    const listener = await listening(transport, address, (stream) => {
      // Sends everything back, whatever the cut of the reads.
      const receive = new ReceiveBuffer(pool);
      const send = new SendQueue(pool, stream);
      stream.attach({
        receiveTarget: () => receive.target(),
        onReceived: (count) => {
          receive.received(count);
          send.append(receive.slab.bytes.subarray(receive.start, receive.end), receive.slab);
          receive.consume(receive.readableBytes);
          send.flush();
        },
        onWritten: (bytes) => send.written(bytes),
        onClosed: (reason) => {
          closed = reason;
          receive.dispose();
          send.dispose();
        },
      });
    });
    const frameBytes = 1_000_000;

    await new Promise<void>((resolve, reject) => {
      transport.connect(
        listener.address,
        (stream) => {
          const receive = new ReceiveBuffer(pool);
          stream.attach({
            receiveTarget: () => receive.target(),
            onReceived: (count) => {
              receive.received(count);
              while (receive.hasFrame(frameBytes)) {
                const view = new Uint32Array(receive.slab.bytes.slice(receive.start, receive.start + frameBytes).buffer);
                for (let i = 0; i < view.length; i++) {
                  if (view[i] !== frames * (frameBytes / 4) + i) return reject(new Error(`frame ${frames} word ${i}: ${view[i]}`));
                }
                receive.consume(frameBytes);
                frames++;
              }
              if (frames * frameBytes === total) stream.destroy('enough');
            },
            onWritten: () => {},
            onClosed: () => {
              receive.dispose();
              resolve();
            },
          });
          const words = new Uint32Array(total / 4);
          for (let i = 0; i < words.length; i++) words[i] = i;
          stream.write(new Uint8Array(words.buffer, 0, 12));
          stream.write(new Uint8Array(words.buffer, 12));
          stream.flush();
        },
        reject,
      );
    });
    expect(frames).toBe(20);
    await expect.poll(() => closed).not.toBe('');
    expect(pool.heldBytes).toBe(0);
    await new Promise<void>((resolve) => listener.close(resolve));
  });
});

test.each(['connects', 'accepts'])(
  'a unix socket takes more at a time than the kernel would by default: the side that %s',
  async (side) => {
    const transport = new SocketTransport();
    const streams: ByteStream[] = [];
    const listener = await listening(transport, `unix:${folder}/large`, (stream) => streams.push(stream));
    const connected = await new Promise<ByteStream>((resolve, reject) => transport.connect(listener.address, resolve, reject));
    await expect.poll(() => streams.length).toBe(1);
    const writer = side === 'connects' ? connected : (streams[0] as ByteStream);
    // Nobody reads. The default is about 200 KiB; twice that is allowed to everybody.
    writer.write(new Uint8Array(300 * 1024));
    writer.flush();
    expect(writer.queuedBytes).toBe(0);
    for (const stream of [connected, ...streams]) stream.destroy('enough');
    await new Promise<void>((resolve) => listener.close(resolve));
  },
);

test('a refused connection says why', async () => {
  const reason = await new Promise((resolve) =>
    new SocketTransport().connect(`unix:${folder}/nobody`, () => resolve('connected'), resolve),
  );
  expect(reason).toBe('ENOENT');
});

test('an address in use is an error with its code', async () => {
  const transport = new SocketTransport();
  const listener = await listening(transport, 'tcp://127.0.0.1:0', () => {});
  await expect(listening(transport, listener.address, () => {})).rejects.toThrow('EADDRINUSE');
  listener.close();
});

test('a socket file left by a killed process is taken over, a live one is not', async () => {
  const transport = new SocketTransport();
  const { createServer } = await import('node:net');
  const { renameSync } = await import('node:fs');
  const dead = createServer().listen(join(folder, 'dying'));
  await new Promise((resolve) => dead.once('listening', resolve));
  renameSync(join(folder, 'dying'), join(folder, 'dead'));
  await new Promise((resolve) => dead.close(resolve));
  const listener = await listening(transport, `unix:${folder}/dead`, () => {});
  await expect(listening(transport, `unix:${folder}/dead`, () => {})).rejects.toThrow('in use');
  listener.close();
});

describe('socket transport: routes', () => {
  const quiet = { receiveTarget: () => new Uint8Array(16), onReceived() {}, onWritten() {} };

  function closing(stream: ByteStream): Promise<string> {
    return new Promise((resolve) => stream.attach({ ...quiet, onClosed: resolve }));
  }

  function connecting(transport: SocketTransport, address: string): Promise<ByteStream> {
    return new Promise((resolve, reject) => transport.connect(address, resolve, (reason) => reject(new Error(reason))));
  }

  test('a route leads new connections elsewhere and ends those that went the old way, no others', async () => {
    const transport = new SocketTransport();
    const accepted: string[] = [];
    const listen = (name: string) =>
      listening(transport, `unix:${folder}/${name}`, (stream) => {
        accepted.push(name);
        stream.attach({ ...quiet, onClosed() {} });
      });
    const [near, far, other] = [await listen('near'), await listen('far'), await listen('other')];
    const rerouted = closing(await connecting(transport, near.address));
    let otherClosed = false;
    void closing(await connecting(transport, other.address)).then(() => {
      otherClosed = true;
    });

    transport.setRoutes(new Map([[near.address, far.address]]));
    expect(await rerouted).toBe('its route has changed');
    const second = await connecting(transport, near.address);
    expect(second.peerDescription).toBe(near.address);
    await expect.poll(() => accepted).toEqual(['near', 'other', 'far']);
    expect(otherClosed).toBe(false);

    const back = closing(second);
    transport.setRoutes(new Map());
    expect(await back).toBe('its route has changed');
    for (const listener of [near, far, other]) listener.close();
  });

  test('a route to where nobody listens cuts the connection and refuses new ones', async () => {
    const transport = new SocketTransport();
    const listener = await listening(transport, 'tcp://127.0.0.1:0', (stream) => stream.attach({ ...quiet, onClosed() {} }));
    const cut = closing(await connecting(transport, listener.address));
    transport.setRoutes(new Map([[listener.address, `unix:${folder}/nobody`]]));
    expect(await cut).toBe('its route has changed');
    await expect(connecting(transport, listener.address)).rejects.toThrow('ENOENT');
    listener.close();
  });

  test('a connection attempt that is overtaken by a new route ends', async () => {
    const transport = new SocketTransport();
    const listener = await listening(transport, 'tcp://127.0.0.1:0', (stream) => stream.attach({ ...quiet, onClosed() {} }));
    const attempt = connecting(transport, listener.address);
    transport.setRoutes(new Map([[listener.address, `unix:${folder}/nobody`]]));
    expect(await closing(await attempt)).toBe('its route has changed');
    listener.close();
  });
});

test.each([
  [true, 'ECONNRESET'],
  [false, 'closed by peer'],
])('a stream that is destroyed, with resets %s: its peer sees %s', async (resets, seen) => {
  let closed = '';
  const closing = new Promise<void>((resolve) => {
    const handler = {
      receiveTarget: () => new Uint8Array(16),
      onReceived: () => {},
      onWritten: () => {},
      onClosed: (reason: string) => {
        closed = reason;
        resolve();
      },
    };
    void listening(new SocketTransport(), 'tcp://127.0.0.1:0', (stream) => stream.attach(handler)).then((listener) => {
      new SocketTransport({ resets }).connect(
        listener.address,
        (stream) => {
          stream.attach({ ...handler, onClosed: () => listener.close() });
          stream.destroy('given up');
        },
        (reason) => {
          throw new Error(reason);
        },
      );
    });
  });
  await closing;
  expect(closed).toBe(seen);
});
