import type { ByteStream } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { MemoryNetwork, type MemoryNetworkOptions } from './memory-network.ts';
import type { MemoryStream } from './memory-stream.ts';
import { VirtualWorld } from './virtual-world.ts';

class Probe {
  readonly stream: ByteStream;
  bytes: number[] = [];
  closed: string | null = null;
  readonly #target = new Uint8Array(100);

  constructor(stream: ByteStream) {
    this.stream = stream;
    stream.attach(this);
  }

  receiveTarget(): Uint8Array {
    return this.#target;
  }

  onReceived(byteCount: number): void {
    this.bytes.push(...this.#target.subarray(0, byteCount));
  }

  onWritten(): void {}

  onClosed(reason: string): void {
    this.closed = reason;
  }

  send(...bytes: number[]): void {
    this.stream.write(new Uint8Array(bytes));
    this.stream.flush();
  }
}

function setUp(options: Partial<MemoryNetworkOptions> = {}) {
  const world = new VirtualWorld(3);
  const network = new MemoryNetwork(world, { delayMsMin: 1, delayMsMax: 1, ...options });
  let server: Probe | null = null;
  let client: Probe | null = null;
  network.host('s').listen(
    'memory:s',
    (stream) => {
      server = new Probe(stream);
    },
    () => {},
    () => {},
  );
  world.run(1);
  network.host('c').connect(
    'memory:s',
    (stream) => {
      client = new Probe(stream);
    },
    () => {},
  );
  world.runUntil(() => client !== null, 100);
  return { world, network, client: client as unknown as Probe, server: server as unknown as Probe };
}

describe('memory network', () => {
  test('a one-way partition holds bytes back in one direction only, and nobody is told', () => {
    const { world, network, client, server } = setUp();
    network.partitionOneWay('c', 's');
    client.send(1, 2);
    server.send(3);
    world.run(60_000);
    expect(server.bytes).toEqual([]);
    expect(client.bytes).toEqual([3]);
    expect([client.closed, server.closed]).toEqual([null, null]);
    network.heal('c', 's');
    world.run(10);
    expect(server.bytes).toEqual([1, 2]);
  });

  test('bytes sent before an end was destroyed arrive when the partition heals: the late write of I10', () => {
    const { world, network, client, server } = setUp();
    network.partition('c', 's');
    client.send(7);
    world.run(10);
    client.stream.destroy('given up');
    world.run(60_000);
    expect(client.closed).toBe('given up');
    expect(server.closed).toBeNull();
    network.healAll();
    world.run(10);
    expect(server.bytes).toEqual([7]);
    expect(server.closed).toBe('closed by peer');
  });

  test('a cut tells both ends and loses what is under way', () => {
    const { world, network, client, server } = setUp();
    client.send(1);
    network.cut('c', 's');
    world.run(10);
    expect([client.closed, server.closed]).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect(server.bytes).toEqual([]);
    expect(network.openEnds).toBe(0);
  });

  test('a half-open connection: one end is told, the other waits for ever; what was sent before arrives', () => {
    const { world, network, client, server } = setUp();
    client.send(1, 2);
    server.send(3);
    world.run(0.5);
    network.halve(client.stream as MemoryStream);
    world.run(60_000);
    expect(client.closed).toBe('ETIMEDOUT');
    expect(client.bytes).toEqual([]);
    expect(server.bytes).toEqual([1, 2]);
    expect(server.closed).toBeNull();
    server.send(4);
    world.run(60_000);
    expect(server.closed).toBeNull();
  });

  test('a silent connection passes nothing, not even its end, while others between the same hosts do', () => {
    const { world, network, client, server } = setUp();
    network.silence(client.stream as MemoryStream);
    client.send(1);
    server.send(2);
    let other: Probe | null = null;
    network.host('c').connect(
      'memory:s',
      (stream) => {
        other = new Probe(stream);
      },
      () => {},
    );
    world.run(60_000);
    expect([client.bytes, server.bytes]).toEqual([[], []]);
    expect(other).not.toBeNull();
    client.stream.destroy('given up');
    network.healAll();
    world.run(60_000);
    expect(server.closed).toBeNull();
  });

  test('a connection breaks after exactly so many bytes, in the middle of what was sent', () => {
    for (const byteCount of [0, 1, 4, 7]) {
      const { world, client, server } = setUp();
      (server.stream as MemoryStream).breakAfter(byteCount);
      client.send(1, 2, 3);
      client.send(4, 5, 6, 7, 8);
      world.run(100);
      expect(server.bytes).toEqual([1, 2, 3, 4, 5, 6, 7].slice(0, byteCount));
      expect([client.closed, server.closed]).toEqual(['ECONNRESET', 'ECONNRESET']);
    }
  });

  test('a slow link delays one direction, a slow connection only itself; a connection keeps its order', () => {
    const { world, network, client, server } = setUp();
    network.slow('c', 's', 100);
    client.send(1);
    server.send(2);
    world.run(50);
    expect([client.bytes, server.bytes]).toEqual([[2], []]);
    network.slow('c', 's', 0);
    client.send(3);
    world.run(49);
    expect(server.bytes).toEqual([]);
    world.run(10);
    expect(server.bytes).toEqual([1, 3]);
    (client.stream as MemoryStream).delay(100);
    server.send(4);
    client.send(5);
    world.run(50);
    expect([client.bytes, server.bytes]).toEqual([[2], [1, 3, 5]]);
    world.run(100);
    expect(client.bytes).toEqual([2, 4]);
  });

  test('connections overtake one another', () => {
    const world = new VirtualWorld(1);
    const network = new MemoryNetwork(world, { delayMsMin: 0, delayMsMax: 20 });
    const order: number[] = [];
    network.host('s').listen(
      'memory:s',
      (stream) => {
        const probe = new Probe(stream);
        probe.onReceived = (): void => {
          order.push(...probe.receiveTarget().subarray(0, 1));
        };
      },
      () => {},
      () => {},
    );
    world.run(1);
    for (let i = 0; i < 20; i++) {
      network.host('c').connect(
        'memory:s',
        (stream) => {
          const client = new Probe(stream);
          world.after(100 - world.clock.nowMs(), () => client.send(i));
        },
        () => {},
      );
      world.run(1);
    }
    world.run(200);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(order).not.toEqual([...order].sort((a, b) => a - b));
  });

  test('a repeated SYN: the listener sees a connection more, which nobody is at the other end of', () => {
    const { network, server, world } = setUp({ ghostConnectPercent: 100 });
    expect(network.endsAt('s').length).toBe(2);
    expect(network.endsAt('c').length).toBe(1);
    world.run(60_000);
    expect(server.closed).toBeNull();
  });

  test('a frozen host is told nothing of its connections either, before it thaws', () => {
    const { world, network, client } = setUp();
    network.freeze('c');
    network.cut('c', 's');
    world.run(60_000);
    expect(client.closed).toBeNull();
    network.thaw('c');
    world.run(1);
    expect(client.closed).toBe('ECONNRESET');
  });

  test('what a process had begun dies with it: no connection is made, no address is taken', () => {
    const { world, network } = setUp();
    let connected = false;
    network.host('c').connect(
      'memory:s',
      () => {
        connected = true;
      },
      () => {},
    );
    const taken: string[] = [];
    const listen = (): void => {
      network.host('c').listen(
        'memory:c',
        () => {},
        () => taken.push('listens'),
        (code) => taken.push(code),
      );
    };
    listen();
    network.crash('c');
    listen();
    world.run(1_000);
    expect(connected).toBe(false);
    expect(taken).toEqual(['listens']);
  });

  test('a crashed host is not told; its peer sees a close and new connects are refused', () => {
    const { world, network, client, server } = setUp();
    network.crash('s');
    world.run(10);
    expect(server.closed).toBeNull();
    expect(client.closed).toBe('closed by peer');
    let reason = '';
    network.host('c').connect(
      'memory:s',
      () => {},
      (why) => {
        reason = why;
      },
    );
    world.run(10);
    expect(reason).toBe('ECONNREFUSED');
  });

  test('refused addresses refuse until they do no more', () => {
    const { world, network } = setUp();
    const outcomes: string[] = [];
    const connect = () =>
      network.host('c').connect(
        'memory:s',
        () => outcomes.push('connected'),
        (why) => outcomes.push(why),
      );
    network.refuse('memory:s', true);
    connect();
    world.run(10);
    network.refuse('memory:s', false);
    connect();
    world.run(10);
    expect(outcomes).toEqual(['ECONNREFUSED', 'connected']);
  });

  test('a connect through a partition succeeds when it heals in time and fails with ETIMEDOUT otherwise', () => {
    const { world, network } = setUp();
    const outcomes: string[] = [];
    const connect = () =>
      network.host('c').connect(
        'memory:s',
        () => outcomes.push('connected'),
        (why) => outcomes.push(why),
      );
    network.partition('c', 's');
    connect();
    world.run(10_000);
    network.healAll();
    world.run(1_000);
    expect(outcomes).toEqual(['connected']);
    network.partitionOneWay('s', 'c');
    connect();
    world.run(130_000);
    expect(outcomes).toEqual(['connected', 'ETIMEDOUT']);
  });

  test('a frozen host gets nothing until it thaws, and then everything', () => {
    const { world, network, client, server } = setUp();
    network.freeze('s');
    client.send(1, 2, 3);
    world.run(60_000);
    expect(server.bytes).toEqual([]);
    network.thaw('s');
    world.run(10);
    expect(server.bytes).toEqual([1, 2, 3]);
  });

  test('the same seed cuts and delays alike', () => {
    const trace = (seed: number) => {
      const world = new VirtualWorld(seed);
      const network = new MemoryNetwork(world, { delayMsMin: 0, delayMsMax: 9, runBytesMax: 10 });
      const seen: string[] = [];
      network.host('s').listen(
        'memory:s',
        (stream) =>
          stream.attach({
            receiveTarget: () => new Uint8Array(50),
            onReceived: (count) => seen.push(`${count}@${world.clock.nowMs()}`),
            onWritten: () => {},
            onClosed: () => {},
          }),
        () => {},
        () => {},
      );
      world.run(1);
      network.host('c').connect(
        'memory:s',
        (stream) => {
          stream.write(new Uint8Array(100));
          stream.flush();
        },
        () => {},
      );
      world.run(100);
      return seen;
    };
    expect(trace(1)).toEqual(trace(1));
    expect(trace(1)).not.toEqual(trace(2));
  });
});
