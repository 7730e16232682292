import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { SlabPool } from '@rmr/runtime';
import { createLogger, createSystemWorld, SocketTransport } from '@rmr/runtime/node';
import { afterEach, expect, test, vi } from 'vitest';
import { NbdServer } from '../core/nbd-server.ts';
import { MemoryDevice } from '../testing/memory-device.ts';

const NAMESPACE = `rmr-nbd-${process.pid}`;
const LINK = `rmrn${process.pid % 100_000}`;
const HOST = '10.213.57.1';
const PEER = '10.213.57.2';

/** How long a place may stay taken by a client whose host is gone. */
const NOTICED_MS_MAX = 120_000;

/** Two clients: one that asks for nothing, and one that asks for 32 MiB and takes none of it. */
const CLIENTS = `
import socket, struct, sys, time
def attach(address, port):
    s = socket.create_connection((address, int(port)))
    def read(count):
        while count > 0: count -= len(s.recv(count))
    read(18)
    s.sendall(struct.pack('>I', 3) + b'IHAVEOPT' + struct.pack('>II', 1, 0))
    read(10)
    return s
idle = attach(*sys.argv[1:3])
deaf = attach(*sys.argv[1:3])
for i in range(32): deaf.sendall(struct.pack('>IHHQQI', 0x25609513, 0, 0, i, 0, 1 << 20))
print('ready', flush=True)
time.sleep(1000)
`;

function ip(...args: string[]): boolean {
  return spawnSync('ip', args, { stdio: 'ignore' }).status === 0;
}

/** Whether this machine lets a test have a network of its own. */
const possible = process.getuid?.() === 0 && ip('netns', 'add', NAMESPACE) && ip('netns', 'delete', NAMESPACE);

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  ip('link', 'delete', LINK);
  ip('netns', 'delete', NAMESPACE);
});

function clients(address: string, port: string, ...inside: string[]): Promise<void> {
  const [program, ...args] = [...inside, 'python3', '-c', CLIENTS, address, port] as unknown as [string, ...string[]];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return new Promise((resolve) => createInterface({ input: child.stdout }).once('line', () => resolve()));
}

test.skipIf(!possible)(
  'clients whose host vanishes are noticed within two minutes, and their places are free; those that only are idle or deaf stay',
  { timeout: NOTICED_MS_MAX + 60_000 },
  async () => {
    expect(ip('netns', 'add', NAMESPACE)).toBe(true);
    expect(ip('link', 'add', LINK, 'type', 'veth', 'peer', 'name', 'peer', 'netns', NAMESPACE)).toBe(true);
    expect(ip('address', 'add', `${HOST}/30`, 'dev', LINK) && ip('link', 'set', LINK, 'up')).toBe(true);
    const inside = ['netns', 'exec', NAMESPACE, 'ip'];
    expect(ip(...inside, 'address', 'add', `${PEER}/30`, 'dev', 'peer') && ip(...inside, 'link', 'set', 'peer', 'up')).toBe(true);

    const world = createSystemWorld(createLogger('test', 'silent'));
    const server = new NbdServer(world, new SlabPool());
    server.addExport(new MemoryDevice(world, 1 << 20, { sparse: false }));
    const address = await new Promise<string>((resolve, reject) =>
      new SocketTransport().listen(
        'tcp://0.0.0.0:0',
        (stream) => server.accept(stream),
        (listener) => resolve(listener.address),
        (code) => reject(new Error(code)),
      ),
    );
    const port = new URL(address.replace('tcp:', 'http:')).port;
    await clients('127.0.0.1', port);
    await clients(HOST, port, 'ip', 'netns', 'exec', NAMESPACE);
    const peers = () => server.connections().map(({ peer }) => peer.includes(PEER));
    await vi.waitFor(() => expect(peers()).toEqual([false, false, true, true]), { timeout: 20_000 });
    await vi.waitFor(() => expect(server.connections().filter(({ pendingReplyBytes }) => pendingReplyBytes > 0)).toHaveLength(2), {
      timeout: 20_000,
    });
    expect(ip('link', 'set', LINK, 'down')).toBe(true);
    await vi.waitFor(() => expect(peers()).toEqual([false, false]), { timeout: NOTICED_MS_MAX, interval: 500 });
    await new Promise<void>((resolve) => server.shutdown(false, resolve));
  },
);
