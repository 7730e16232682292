import type { ByteStream } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { MemoryNetwork } from './memory-network.ts';
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

function setUp() {
  const world = new VirtualWorld(3);
  const network = new MemoryNetwork(world, { delayMsMin: 1, delayMsMax: 1 });
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
