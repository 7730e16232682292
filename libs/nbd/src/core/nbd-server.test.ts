import { OperationError, Status } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { CLOSING_MS_MAX, CONNECTIONS_MAX, EXPORTS_MAX, MADE_WAY_LOG_MS, NEGOTIATIONS_MAX, SHUTDOWN_MS_MAX } from '../constants.ts';
import { FakeStream } from '../testing/fake-world.ts';
import { MemoryDevice, type MemoryDeviceOptions } from '../testing/memory-device.ts';
import { concat, infoData, pattern, requestBytes, TestBed, type TestClient, u32 } from '../testing/test-client.ts';
import { readU32 } from '../wire/bytes.ts';
import { NbdCommand, NbdError, Option, OptionReply } from '../wire/protocol.ts';
import type { NbdServerOptions } from './nbd-server.ts';

function exported(bed: TestBed, options: MemoryDeviceOptions = {}): MemoryDevice {
  const device = new MemoryDevice(bed.world, 1 << 20, options);
  bed.server.addExport(device);
  return device;
}

function codeOf(action: () => void): string {
  try {
    action();
  } catch (error) {
    if (error instanceof OperationError) return error.code;
    throw error;
  }
  return 'none';
}

/** Whether GO finds `name`. */
function found(bed: TestBed, name: string): boolean {
  const client = bed.connect();
  client.take();
  client.send(u32(3));
  client.option(Option.INFO, infoData(name, [1]));
  const last = client.answers().at(-1)?.type;
  client.option(Option.ABORT);
  return last === OptionReply.ACK;
}

describe('exports', () => {
  test('have unique names', () => {
    const bed = new TestBed();
    exported(bed, { name: 'a' });
    expect(codeOf(() => exported(bed, { name: 'a' }))).toBe('ALREADY_EXISTS');
  });

  test.each([
    ['a name that is too long', { name: 'ä'.repeat(2049) }, /4096 bytes/],
    ['a name with NUL', { name: 'a\0b' }, /NUL/],
    ['half a surrogate', { name: '\ud800' }, /Unicode/],
    ['a description that is too long', { description: 'x'.repeat(4097) }, /4096 bytes/],
    ['a block size that is no power of two', { blockSizeMinBytes: 513 }, /power of two/],
    ['a block size of zero', { blockSizeMinBytes: 0 }, /power of two/],
    ['a block size that is too large', { blockSizeMinBytes: 131_072 }, /65536/],
    ['a minimum above the preferred block size', { blockSizeMinBytes: 8192 }, /preferred/],
  ] as const)('%s is refused', (_what, options, message) => {
    expect(() => exported(new TestBed(), options)).toThrow(message);
  });

  test('a size that is no multiple of the block size is refused', () => {
    const bed = new TestBed();
    const device = new MemoryDevice(bed.world, 1000, { blockSizeMinBytes: 512 });
    expect(() => bed.server.addExport(device)).toThrow(/multiple/);
  });

  test('are limited in number', () => {
    const bed = new TestBed();
    for (let i = 0; i < EXPORTS_MAX; i++) bed.server.addExport(new MemoryDevice(bed.world, 512, { name: `${i}` }));
    expect(codeOf(() => bed.server.addExport(new MemoryDevice(bed.world, 512, { name: 'more' })))).toBe('UNAVAILABLE');
  });

  test('the empty name means: the configured one, else the export so called, else the only one, else none', () => {
    const configured = new TestBed({ defaultExportName: 'b' });
    exported(configured, { name: 'a' });
    expect(found(configured, '')).toBe(true);
    exported(configured, { name: '' });
    exported(configured, { name: 'b' });
    expect(configured.server.findExport('')?.device.name).toBe('b');

    const several = new TestBed();
    expect(found(several, '')).toBe(false);
    exported(several, { name: 'a' });
    expect(found(several, '')).toBe(true);
    exported(several, { name: 'b' });
    expect(found(several, '')).toBe(false);
    exported(several, { name: '' });
    expect(several.server.findExport('')?.device.name).toBe('');
    expect(found(several, '')).toBe(true);
  });

  test('a removed export is not found any more; its clients finish, are refused, and leave; others stay', () => {
    const bed = new TestBed();
    const device = exported(bed, { name: 'a' });
    const staying = bed.attach(exported(bed, { name: 'b' }));
    const client = bed.attach(device);
    device.held = true;
    client.request(NbdCommand.WRITE, 0, 1, 0, 512, pattern(512));
    let removed = false;
    bed.server.removeExport('a', () => {
      removed = true;
    });
    bed.settle();
    expect(found(bed, 'a')).toBe(false);
    expect(removed).toBe(false);
    client.request(NbdCommand.READ, 0, 2, 0, 512);
    expect(readU32(client.replies()[0]?.data as Uint8Array, 0)).toBe(NbdError.ESHUTDOWN);
    device.release();
    bed.settle();
    expect(client.replies()).toMatchObject([{ cookie: 1, error: 0 }]);
    expect(client.stream.closed).toBe(true);
    expect(removed).toBe(true);
    staying.request(NbdCommand.FLUSH, 0, 3, 0, 0);
    expect(staying.replies()).toMatchObject([{ cookie: 3, error: 0 }]);
  });

  test('an export without clients is removed at once; one that does not exist is an error', () => {
    const bed = new TestBed();
    exported(bed, { name: 'a' });
    let removed = 0;
    bed.server.removeExport('a', () => {
      removed++;
    });
    expect(removed).toBe(1);
    expect(codeOf(() => bed.server.removeExport('a'))).toBe('NOT_FOUND');
  });

  test('an announcement that is withdrawn: whoever waits for the export is told that there is none, and the name is free again', () => {
    const bed = new TestBed({ exportWaitMs: Number.POSITIVE_INFINITY });
    bed.server.announceExport({ name: 'coming', description: '', why: () => 'it waits' });
    const client = bed.connect();
    client.take();
    client.send(u32(3));
    client.option(Option.GO, infoData('coming', []));
    bed.settle();
    expect(client.answers()).toEqual([]);
    let withdrawn = 0;
    bed.server.withdrawExport('coming', () => withdrawn++);
    bed.settle();
    expect([withdrawn, client.answers().map(({ type }) => type)]).toEqual([1, [OptionReply.ERR_UNKNOWN]]);
    expect([...bed.server.listAnnounced()]).toEqual([]);
    bed.server.announceExport({ name: 'coming', description: '', why: () => 'it waits' });
    const device = exported(bed, { name: 'coming' });
    const attached = bed.attach(device);
    bed.server.withdrawExport('coming', () => withdrawn++);
    bed.settle();
    expect([withdrawn, attached.stream.closed, [...bed.server.listExports()]]).toEqual([2, true, []]);
  });
});

describe('connections', () => {
  test('beyond the limit are closed at once, and others are not disturbed', () => {
    const bed = new TestBed({ connectionsMax: 2 });
    exported(bed);
    const device = bed.server.findExport('')?.device as MemoryDevice;
    const first = bed.attach(device);
    bed.attach(device);
    const refused = new FakeStream();
    bed.server.accept(refused);
    expect(refused.step()).toBe(true);
    expect(refused.closeReason).toMatch(/as many connections/);
    expect(bed.world.lines.at(-1)).toMatchObject({ level: 'warn', event: 'nbd connection refused' });
    first.stream.hangUp();
    bed.settle();
    expect(bed.connect().stream.closed).toBe(false);
    expect(CONNECTIONS_MAX).toBeGreaterThan(100);
  });

  test('that say nothing keep nobody out: the one that has been silent for the longest time makes way', () => {
    const bed = new TestBed();
    const device = exported(bed);
    const busy = bed.connect();
    busy.send(u32(3));
    const silent = Array.from({ length: 300 }, () => {
      bed.world.advance(1);
      // It says something now and then, and so is not the one.
      busy.option(Option.LIST);
      return bed.connect();
    });
    bed.settle();
    expect(silent.map(({ stream }) => stream.closed)).toEqual(silent.map((_, i) => i < 301 - NEGOTIATIONS_MAX));
    expect([busy.stream.closed, silent[0]?.stream.closeReason]).toEqual([false, 'it had chosen no export, and others needed its place']);
    expect(bed.server.connections()).toHaveLength(NEGOTIATIONS_MAX);
    const client = bed.attach(device);
    client.request(NbdCommand.FLUSH, 0, 1, 0, 0);
    expect(client.replies()).toMatchObject([{ cookie: 1, error: 0 }]);
    // Of all these the log tells once a minute.
    const told = () => bed.world.lines.filter(({ event }) => event.includes('made way'));
    expect(told()).toMatchObject([{ level: 'warn', fields: { connections: 1 } }]);
    bed.world.advance(MADE_WAY_LOG_MS);
    expect(told().map(({ fields }) => fields['connections'])).toEqual([1, 301 - NEGOTIATIONS_MAX]);
  });

  test('that wait for an export count among those that have chosen none, and make way like them', () => {
    const bed = new TestBed({ exportWaitMs: Number.POSITIVE_INFINITY });
    bed.server.announceExport({ name: 'coming', description: '', why: () => 'it waits' });
    const waiting = Array.from({ length: NEGOTIATIONS_MAX + 1 }, () => {
      bed.world.advance(1);
      const client = bed.connect();
      client.take();
      client.send(u32(3));
      client.option(Option.GO, infoData('coming', []));
      bed.settle();
      return client;
    });
    expect(waiting.map(({ stream }) => stream.closed)).toEqual(waiting.map((_, i) => i === 0));
    exported(bed, { name: 'coming' });
    bed.settle();
    expect(waiting.slice(1).every((client) => client.answers().at(-1)?.type === OptionReply.ACK)).toBe(true);
    bed.server.verify();
  });

  test('that have chosen an export make way for nobody, and silent ones take no bytes in flight from them', () => {
    const bed = new TestBed({ connectionsMax: 40 });
    const device = exported(bed);
    const attached = Array.from({ length: 2 }, () => bed.attach(device));
    const share = bed.server.inFlightBytesMax;
    for (let i = 0; i < 100; i++) bed.connect();
    expect(bed.server.inFlightBytesMax).toBe(share);
    for (let i = 0; i < 38; i++) attached.push(bed.attach(device));
    expect(attached.some(({ stream }) => stream.closed)).toBe(false);
    expect(bed.connect().stream.closeReason).toMatch(/as many connections/);
    let down = false;
    bed.server.shutdown(true, () => {
      down = true;
    });
    bed.settle();
    expect([down, bed.slabs.heldBytes]).toEqual([true, 0]);
  });

  test('are told to the listener and to the log, with their reasons', () => {
    const events: string[] = [];
    const options: NbdServerOptions = {
      listener: {
        onConnected: (connection) => events.push(`connected ${connection.id} ${connection.state}`),
        onNegotiated: (connection) => events.push(`negotiated ${connection.id} ${connection.exportName}`),
        onClosed: (connection, reason) => events.push(`closed ${connection.id} ${connection.exportName}: ${reason}`),
      },
    };
    const bed = new TestBed(options);
    const device = exported(bed, { name: 'vol' });
    const client = bed.attach(device);
    client.send(requestBytes(NbdCommand.DISC, 0, 0, 0, 0));
    const second = bed.connect();
    second.stream.hangUp();
    bed.settle();
    expect(events).toEqual([
      'connected 1 HANDSHAKE',
      'negotiated 1 vol',
      'closed 1 vol: the client disconnected',
      'connected 2 HANDSHAKE',
      'closed 2 null: closed by peer',
    ]);
    expect(bed.world.lines.filter((line) => line.level === 'info').map((line) => line.event)).toEqual([
      'nbd export added',
      'nbd client attached',
      'nbd client detached',
    ]);
  });

  test('a listener needs to care for nothing', () => {
    const bed = new TestBed({ listener: {} });
    bed.attach(exported(bed)).stream.hangUp();
    bed.settle();
    expect(bed.server.connections()).toEqual([]);
  });

  test('the ticker runs only while there are any', () => {
    const bed = new TestBed();
    exported(bed);
    expect(bed.world.ticked.size).toBe(0);
    const client = bed.connect();
    expect(bed.world.ticked.size).toBe(1);
    client.stream.hangUp();
    bed.settle();
    expect(bed.world.ticked.size).toBe(0);
  });

  test('a client that does not take its last answers is cut off', () => {
    const bed = new TestBed();
    exported(bed);
    const client = bed.connect();
    client.stream.blocked = true;
    client.send(concat([u32(3), new Uint8Array(0)]));
    client.option(Option.ABORT);
    expect(client.stream.closed).toBe(false);
    bed.world.advance(CLOSING_MS_MAX);
    bed.settle();
    expect(client.stream.closed).toBe(true);
    expect(bed.slabs.heldBytes).toBe(0);
  });
});

describe('shutdown', () => {
  /** A connection with one request executing. */
  function busy(bed: TestBed, device: MemoryDevice): TestClient {
    const client = bed.attach(device);
    device.held = true;
    client.request(NbdCommand.WRITE, 0, 1, 0, 512, pattern(512));
    return client;
  }

  test('gracefully: what executes finishes, what comes is refused with ESHUTDOWN, then all is closed', () => {
    const bed = new TestBed();
    const device = exported(bed);
    const client = busy(bed, device);
    const idle = bed.attach(device);
    const haggling = bed.connect();
    let done = false;
    bed.server.shutdown(true, () => {
      done = true;
    });
    bed.settle();
    expect(idle.stream.closed).toBe(true);
    expect(haggling.stream.closed).toBe(true);
    expect(client.stream.closed).toBe(false);
    client.request(NbdCommand.WRITE, 0, 2, 0, 512, pattern(512));
    expect(readU32(client.replies()[0]?.data as Uint8Array, 0)).toBe(NbdError.ESHUTDOWN);
    const late = new FakeStream();
    bed.server.accept(late);
    late.step();
    expect(late.closeReason).toMatch(/shutting down/);
    expect(done).toBe(false);
    device.release();
    bed.settle();
    expect(client.replies()).toMatchObject([{ cookie: 1, error: 0 }]);
    expect(done).toBe(true);
    expect(bed.slabs.heldBytes).toBe(0);
    expect(codeOf(() => exported(bed, { name: 'late' }))).toBe('UNAVAILABLE');
  });

  test('gracefully: requests that wait for room are refused', () => {
    const bed = new TestBed();
    const device = exported(bed);
    const client = bed.attach(device, false);
    device.held = true;
    for (let cookie = 0; cookie < 300; cookie++) client.stream.feed(requestBytes(NbdCommand.FLUSH, 0, cookie, 0, 0));
    bed.settle();
    const executing = device.waiting.length;
    bed.server.shutdown(true, () => {});
    bed.settle();
    const refused = client.replies();
    expect(refused).toHaveLength(300 - executing);
    expect(refused.every((reply) => reply.error === NbdError.ESHUTDOWN)).toBe(true);
    device.release();
    bed.settle();
    expect(client.replies().every((reply) => reply.error === 0)).toBe(true);
    expect(client.stream.closed).toBe(true);
  });

  test('gracefully: a write whose payload is arriving is finished', () => {
    const bed = new TestBed();
    const device = exported(bed);
    const client = bed.attach(device);
    const bytes = requestBytes(NbdCommand.WRITE, 0, 1, 0, 1000, pattern(1000));
    client.send(bytes.subarray(0, 500));
    bed.server.shutdown(true, () => {});
    bed.settle();
    expect(client.stream.closed).toBe(false);
    client.send(bytes.subarray(500));
    expect(client.replies()).toMatchObject([{ cookie: 1, error: 0 }]);
    expect(client.stream.closed).toBe(true);
  });

  test('gracefully, but a device hangs: after a time the rest is dropped', () => {
    const bed = new TestBed();
    const device = exported(bed);
    const client = busy(bed, device);
    let done = false;
    bed.server.shutdown(true, () => {
      done = true;
    });
    bed.world.advance(SHUTDOWN_MS_MAX - 1);
    bed.settle();
    expect(done).toBe(false);
    bed.world.advance(1);
    bed.settle();
    expect(done).toBe(true);
    expect(client.stream.closeReason).toMatch(/still executing/);
    expect(bed.server.orphanedRequests).toBe(1);
    device.release();
    expect(bed.server.orphanedRequests).toBe(0);
    expect(bed.slabs.heldBytes).toBe(0);
  });

  test('not gracefully: everything is closed at once', () => {
    const bed = new TestBed();
    const device = exported(bed);
    const client = busy(bed, device);
    const haggling = bed.connect();
    let done = false;
    bed.server.shutdown(false, () => {
      done = true;
    });
    bed.settle();
    expect([client.stream.closed, haggling.stream.closed, done]).toEqual([true, true, true]);
    device.release();
    expect(bed.slabs.heldBytes).toBe(0);
  });

  test('gracefully, then not', () => {
    const bed = new TestBed();
    const device = exported(bed);
    busy(bed, device);
    const done: string[] = [];
    bed.server.shutdown(true, () => done.push('graceful'));
    bed.server.shutdown(true, () => done.push('graceful again'));
    bed.server.shutdown(false, () => done.push('at once'));
    bed.settle();
    expect(done.sort()).toEqual(['at once', 'graceful', 'graceful again']);
    device.release();
    expect(bed.slabs.heldBytes).toBe(0);
  });

  test('without connections is done at once', () => {
    const bed = new TestBed();
    let done = false;
    bed.server.shutdown(true, () => {
      done = true;
    });
    expect(done).toBe(true);
  });

  test('a client that has disconnected already keeps its own reason', () => {
    const bed = new TestBed();
    const device = exported(bed);
    const client = busy(bed, device);
    client.send(requestBytes(NbdCommand.DISC, 0, 0, 0, 0));
    bed.server.shutdown(true, () => {});
    device.release();
    bed.settle();
    expect(client.stream.closed).toBe(true);
    expect(bed.slabs.heldBytes).toBe(0);
  });
});

test('a completion between a violation and the end of its stream changes nothing', () => {
  const bed = new TestBed();
  const device = exported(bed);
  const client = bed.attach(device);
  device.held = true;
  client.request(NbdCommand.READ, 0, 1, 0, 4096);
  client.stream.feed(new Uint8Array(28));
  client.stream.step();
  expect(bed.server.connections()[0]?.state).toBe('CLOSING');
  device.release();
  bed.settle();
  expect(client.take()).toHaveLength(0);
  expect(bed.slabs.heldBytes).toBe(0);
});

test('a device that breaks its promises is found out at once', () => {
  const bed = new TestBed();
  const device = exported(bed);
  const client = bed.attach(device);
  device.held = true;
  client.request(NbdCommand.READ, 0, 1, 4096, 4096);
  client.request(NbdCommand.FLUSH, 0, 2, 0, 0);
  client.request(NbdCommand.BLOCK_STATUS, 0, 3, 0, 4096);
  const [read, flush, status] = device.waiting;
  const data = new Uint8Array(4096);
  expect(() => read?.part(0, data, 4096, null)).toThrow('outside');
  expect(() => read?.part(4097, data, 4096, null)).toThrow('outside');
  expect(() => read?.part(4096, data, 4095, null)).toThrow('differ');
  expect(() => read?.part(4096, null, 0, null)).toThrow('empty');
  expect(() => read?.extents([{ lengthBytes: 1, hole: true }])).toThrow('only block status');
  expect(() => flush?.part(0, null, 1, null)).toThrow('only reads');
  expect(() => status?.extents([])).toThrow('no extents');
  expect(() => read?.done(Status.EIO, 8192)).toThrow('an error outside');
  expect(() => read?.begin()).toThrow('begun twice');
  flush?.done(Status.OK);
  expect(() => flush?.done(Status.OK)).toThrow('ended twice');
  read?.part(4096, data.subarray(0, 100), 100, null);
  expect(() => read?.done(Status.OK)).toThrow('bytes missing');
});
