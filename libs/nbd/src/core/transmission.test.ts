import { Status } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { PAYLOAD_BYTES_MAX, WRITE_PART_BYTES } from '../constants.ts';
import type { DeviceRequest } from '../device-request.ts';
import { DeviceFlag, DeviceOperation } from '../device-request.ts';
import type { MemoryDevice } from '../testing/memory-device.ts';
import { concat, pattern, type Reply, requestBytes, text } from '../testing/test-client.ts';
import { assembled, errorOf, MIB, setup } from '../testing/transmission-setup.ts';
import { readU16, readU32, readU64 } from '../wire/bytes.ts';
import { CommandFlag, NbdCommand, NbdError, ReplyType } from '../wire/protocol.ts';

describe.each([
  ['simple', false],
  ['structured', true],
])('with %s replies', (_name, structured) => {
  test('what was written is read back, whatever the alignment', () => {
    const { client, device } = setup({}, structured);
    const payload = pattern(70_001);
    client.request(NbdCommand.WRITE, 0, 1, 12_345, payload.length, payload);
    expect(client.replies()).toMatchObject([{ kind: 'simple', cookie: 1, error: 0 }]);
    client.request(NbdCommand.READ, 0, 2, 12_345, payload.length);
    const replies = client.replies({ 2: payload.length });
    const read = structured ? assembled(replies, 12_345, payload.length) : (replies[0]?.data as Uint8Array);
    expect(Buffer.compare(read, payload)).toBe(0);
    expect(Buffer.compare(device.bytes.subarray(12_345, 12_345 + payload.length), payload)).toBe(0);
  });

  test.each([
    ['TRIM', NbdCommand.TRIM, DeviceOperation.TRIM],
    ['WRITE_ZEROES', NbdCommand.WRITE_ZEROES, DeviceOperation.WRITE_ZEROES],
    ['CACHE', NbdCommand.CACHE, DeviceOperation.CACHE],
  ])('%s reaches the device whole, up to 4 GiB - 1', (_command, command, operation) => {
    const { client, device } = setup({ fastZero: true }, structured, MIB);
    Object.defineProperty(device, 'sizeBytes', { value: 2 ** 33 });
    client.request(command, 0, 9, 4096, 0xffff_ffff);
    expect(client.replies()).toMatchObject([{ cookie: 9, error: 0 }]);
    expect(device.executed).toEqual([{ operation, flags: 0, offsetBytes: 4096, lengthBytes: 0xffff_ffff }]);
  });

  test('requests are answered in the order in which they end', () => {
    const { client, device } = setup({}, structured);
    device.held = true;
    for (let cookie = 1; cookie <= 5; cookie++) client.request(NbdCommand.WRITE, 0, cookie, cookie * 512, 512, pattern(512, cookie));
    expect(client.replies()).toEqual([]);
    device.release((requests) => requests.reverse());
    client.bed.settle();
    expect(client.replies().map((reply) => reply.cookie)).toEqual([5, 4, 3, 2, 1]);
  });

  test('replies of one turn leave in one write', () => {
    const { client } = setup({}, structured);
    const flushes = client.stream.flushes;
    client.send(concat(Array.from({ length: 32 }, (_, i) => requestBytes(NbdCommand.READ, 0, i, i * 4096, 4096))));
    expect(client.stream.flushes).toBe(flushes + 1);
    expect(client.replies(Object.fromEntries(Array.from({ length: 32 }, (_, i) => [i, 4096])))).toHaveLength(32);
  });

  test.each([
    [Status.EIO, NbdError.EIO],
    [Status.ENOSPC, NbdError.ENOSPC],
    [Status.EINVAL, NbdError.EINVAL],
    [Status.EPERM, NbdError.EPERM],
    [Status.ENOMEM, NbdError.ENOMEM],
    [Status.ESHUTDOWN, NbdError.ESHUTDOWN],
    [Status.ENOTSUP, NbdError.EINVAL],
    [Status.ETIMEDOUT, NbdError.EIO],
    [Status.ESESSION, NbdError.EIO],
    [Status.ENOTNORMAL, NbdError.EIO],
  ])('status %i of the device becomes error %i on every command', (status, error) => {
    const { client, device } = setup({}, structured);
    device.fault = () => status;
    for (const command of [NbdCommand.READ, NbdCommand.WRITE, NbdCommand.TRIM, NbdCommand.CACHE, NbdCommand.WRITE_ZEROES]) {
      client.request(command, 0, command, 0, 512, command === NbdCommand.WRITE ? pattern(512) : undefined);
      const replies = client.replies();
      expect(replies).toHaveLength(1);
      expect(replies[0]?.cookie).toBe(command);
      expect(errorOf(replies)).toBe(error);
    }
    client.request(NbdCommand.FLUSH, 0, 7, 0, 0);
    expect(errorOf(client.replies())).toBe(error);
  });

  test('invalid requests are refused, and the connection goes on', () => {
    const { client, device } = setup({ blockSizeMinBytes: 512, fastZero: false }, structured);
    const size = device.sizeBytes;
    const { READ, WRITE, TRIM, WRITE_ZEROES, CACHE, FLUSH, BLOCK_STATUS } = NbdCommand;
    const { EINVAL, ENOSPC, ENOTSUP } = NbdError;
    const all = 0xffff;
    const cases: [what: string, command: number, flags: number, offset: number, length: number, error: number][] = [
      ['an unknown command', 9, 0, 0, 512, EINVAL],
      ['the largest command', 0xffff, 0, 0, 512, EINVAL],
      ['all flags', READ, all, 0, 512, EINVAL],
      ['NO_HOLE on a read', READ, CommandFlag.NO_HOLE, 0, 512, EINVAL],
      ['DF on a write', WRITE, CommandFlag.DF, 0, 512, EINVAL],
      ['REQ_ONE on a trim', TRIM, CommandFlag.REQ_ONE, 0, 512, EINVAL],
      ['FAST_ZERO on a trim', TRIM, CommandFlag.FAST_ZERO, 0, 512, EINVAL],
      ['an unknown flag on a flush', FLUSH, 1 << 5, 0, 0, EINVAL],
      ['DF on write zeroes', WRITE_ZEROES, CommandFlag.DF, 0, 512, EINVAL],
      ['an unknown flag on cache', CACHE, 1 << 15, 0, 512, EINVAL],
      ['fast zeroes where they are slow', WRITE_ZEROES, CommandFlag.FAST_ZERO, 0, 512, ENOTSUP],
      ['a flush with an offset', FLUSH, 0, 512, 0, EINVAL],
      ['a flush with a length', FLUSH, 0, 0, 512, EINVAL],
      ['an empty read', READ, 0, 0, 0, EINVAL],
      ['an empty write', WRITE, 0, 0, 0, EINVAL],
      ['an empty trim', TRIM, 0, 0, 0, EINVAL],
      ['an empty write zeroes', WRITE_ZEROES, 0, 0, 0, EINVAL],
      ['an empty cache', CACHE, 0, 0, 0, EINVAL],
      ['an empty block status', BLOCK_STATUS, 0, 0, 0, EINVAL],
      ['a read beyond the end', READ, 0, size - 512, 1024, EINVAL],
      ['a write beyond the end', WRITE, 0, size - 512, 1024, ENOSPC],
      ['a trim beyond the end', TRIM, 0, size, 512, EINVAL],
      ['write zeroes beyond the end', WRITE_ZEROES, 0, size - 512, 1024, ENOSPC],
      ['cache beyond the end', CACHE, 0, size, 512, EINVAL],
      ['a block status beyond the end', BLOCK_STATUS, 0, size - 512, 1024, EINVAL],
      ['a read far beyond the end', READ, 0, Number.MAX_SAFE_INTEGER - 511, 512, EINVAL],
      ['a write far beyond the end', WRITE, 0, 2 ** 52, 512, ENOSPC],
      ['an unaligned offset', READ, 0, 1, 512, EINVAL],
      ['an unaligned length', READ, 0, 0, 511, EINVAL],
      ['an unaligned write', WRITE, 0, 256, 512, EINVAL],
      ['an unaligned trim', TRIM, 0, 512, 256, EINVAL],
      ['an unaligned write zeroes', WRITE_ZEROES, 0, 513, 512, EINVAL],
    ];
    for (const [what, command, flags, offset, length, error] of cases) {
      client.request(command, flags, 77, offset, length, command === WRITE ? pattern(length) : undefined);
      const replies = client.replies();
      expect(replies.length, what).toBe(1);
      expect(replies[0]?.cookie, what).toBe(77);
      expect(errorOf(replies), what).toBe(error);
      expect(replies[0]?.kind, what).toBe(structured ? 'chunk' : 'simple');
      if (structured) expect(text(replies[0]?.data ?? new Uint8Array(0)).length, what).toBeGreaterThan(16);
    }
    expect(device.executed).toEqual([]);
    client.request(READ, 0, 78, size - 512, 512);
    expect(errorOf(client.replies({ 78: 512 }))).toBe(0);
  });

  test('offsets that no number can hold are beyond the end', () => {
    const { client } = setup({}, structured);
    const bytes = requestBytes(NbdCommand.READ, 0, 3, 0, 512);
    bytes.fill(0xff, 16, 24);
    client.send(bytes);
    expect(errorOf(client.replies())).toBe(NbdError.EINVAL);
  });

  test('a read-only export refuses every change with EPERM, and serves the rest', () => {
    const { client, device } = setup({ readOnly: true }, structured);
    for (const command of [NbdCommand.WRITE, NbdCommand.TRIM, NbdCommand.WRITE_ZEROES]) {
      client.request(command, 0, 1, 0, 4096, command === NbdCommand.WRITE ? pattern(4096) : undefined);
      expect(errorOf(client.replies())).toBe(NbdError.EPERM);
    }
    expect(device.executed).toEqual([]);
    client.request(NbdCommand.READ, 0, 2, 0, 4096);
    expect(errorOf(client.replies({ 2: 4096 }))).toBe(0);
    client.request(NbdCommand.FLUSH, CommandFlag.FUA, 3, 0, 0);
    expect(errorOf(client.replies())).toBe(0);
  });

  test('FUA reaches the device on every command that changes data, and is accepted on all others', () => {
    const { client, device } = setup({}, structured);
    for (const command of [
      NbdCommand.READ,
      NbdCommand.WRITE,
      NbdCommand.FLUSH,
      NbdCommand.TRIM,
      NbdCommand.CACHE,
      NbdCommand.WRITE_ZEROES,
    ]) {
      const length = command === NbdCommand.FLUSH ? 0 : 512;
      client.request(command, CommandFlag.FUA, command, 0, length, command === NbdCommand.WRITE ? pattern(512) : undefined);
      expect(errorOf(client.replies({ 0: 512 }))).toBe(0);
    }
    expect(device.executed.map(({ operation, flags }) => [operation, flags])).toEqual([
      [DeviceOperation.READ, 0],
      [DeviceOperation.WRITE, DeviceFlag.FUA],
      [DeviceOperation.FLUSH, 0],
      [DeviceOperation.TRIM, DeviceFlag.FUA],
      [DeviceOperation.CACHE, 0],
      [DeviceOperation.WRITE_ZEROES, DeviceFlag.FUA],
    ]);
  });

  test('a read of the largest size in many parts, in any order, is put together', () => {
    const { client, device } = setup({ readPartBytes: 128 * 1024 }, structured, PAYLOAD_BYTES_MAX);
    device.bytes.set(pattern(PAYLOAD_BYTES_MAX));
    device.bytes.fill(0, 5 * MIB, 7 * MIB);
    Object.defineProperty(device, 'execute', { value: (request: DeviceRequest) => shuffledRead(device, request) });
    client.request(NbdCommand.READ, 0, 4, 0, PAYLOAD_BYTES_MAX);
    const replies = client.replies({ 4: PAYLOAD_BYTES_MAX });
    const read = structured ? assembled(replies, 0, PAYLOAD_BYTES_MAX) : (replies[0]?.data as Uint8Array);
    expect(Buffer.compare(read, device.bytes)).toBe(0);
    expect(client.bed.heldBytes()).toBe(0);
  });

  test('a read longer than the maximum is refused, a write longer than it ends the connection', () => {
    const { client, bed } = setup({}, structured, 2 * PAYLOAD_BYTES_MAX);
    client.request(NbdCommand.READ, 0, 1, 0, PAYLOAD_BYTES_MAX + 1);
    expect(errorOf(client.replies())).toBe(NbdError.EINVAL);
    client.send(requestBytes(NbdCommand.WRITE, 0, 2, 0, PAYLOAD_BYTES_MAX + 1));
    expect(client.stream.closed).toBe(true);
    expect(bed.world.lines.at(-1)).toMatchObject({ level: 'warn', fields: { reason: expect.stringMatching(/longer than the maximum/) } });
    expect(bed.slabs.heldBytes).toBe(0);
  });

  test('a request without the magic number ends the connection, and no other', () => {
    const { client, bed, device } = setup({}, structured);
    const other = bed.attach(device, structured);
    client.send(new Uint8Array(28));
    expect(client.stream.closed).toBe(true);
    expect(client.stream.closeReason).toMatch(/magic/);
    other.request(NbdCommand.READ, 0, 1, 0, 512);
    expect(errorOf(other.replies({ 1: 512 }))).toBe(0);
  });

  test('after DISC what is in flight is answered, what follows is ignored, and the connection closes', () => {
    const { client, device } = setup({}, structured);
    device.held = true;
    client.request(NbdCommand.WRITE, 0, 1, 0, 512, pattern(512));
    client.send(concat([requestBytes(NbdCommand.DISC, 0, 2, 0, 0), pattern(100_000)]));
    expect(client.stream.closed).toBe(false);
    expect(client.stream.unreadBytes).toBe(0);
    device.release();
    client.bed.settle();
    expect(client.replies()).toMatchObject([{ cookie: 1, error: 0 }]);
    expect(client.stream.closed).toBe(true);
    expect(client.bed.slabs.heldBytes).toBe(0);
  });
});

/** Gives a read in parts of 128 KiB, the odd ones first, holes as holes. */
function shuffledRead(device: MemoryDevice, request: DeviceRequest): void {
  const part = 128 * 1024;
  const count = request.lengthBytes / part;
  for (let i = 0; i < count; i++) {
    const index = i < count / 2 ? 2 * i + 1 : 2 * (i - count / 2);
    const from = request.offsetBytes + index * part;
    const data = device.bytes.subarray(from, from + part);
    request.part(from, data.includes(1) ? data : null, part, null);
  }
  request.done(Status.OK);
}

describe('structured reads', () => {
  test('a read that came in one part is one chunk', () => {
    const { client } = setup({ sparse: false });
    client.request(NbdCommand.READ, 0, 1, 4096, 8192);
    expect(client.replies()).toMatchObject([{ type: ReplyType.OFFSET_DATA, done: true }]);
  });

  test('parts leave as they come; the last says that it is the last', () => {
    const { client, device, bed } = setup();
    device.held = true;
    client.request(NbdCommand.READ, 0, 1, 0, 3000);
    const request = device.waiting.pop() as DeviceRequest;
    const slab = bed.slabs.take();
    request.part(2000, slab.bytes.subarray(0, 1000), 1000, slab);
    bed.settle();
    expect(client.replies()).toEqual([]);
    request.part(0, null, 1000, null);
    bed.settle();
    expect(client.replies()).toMatchObject([{ type: ReplyType.OFFSET_DATA, done: false }]);
    request.part(1000, slab.bytes.subarray(0, 1000), 1000, slab);
    slab.release();
    request.done(Status.OK);
    bed.settle();
    expect(client.replies()).toMatchObject([
      { type: ReplyType.OFFSET_HOLE, done: false },
      { type: ReplyType.OFFSET_DATA, done: true },
    ]);
    expect(bed.heldBytes()).toBe(0);
  });

  test('an error after some parts is the last chunk, with its offset where the device knows it', () => {
    for (const offset of [undefined, 1500]) {
      const { client, device, bed } = setup();
      device.held = true;
      client.request(NbdCommand.READ, 0, 1, 0, 3000);
      const request = device.waiting.pop() as DeviceRequest;
      request.part(0, new Uint8Array(1000), 1000, null);
      request.part(2000, null, 1000, null);
      request.done(Status.EIO, offset);
      bed.settle();
      const replies = client.replies();
      expect(replies.map((reply) => [reply.type, reply.done])).toEqual([
        [ReplyType.OFFSET_DATA, false],
        [offset === undefined ? ReplyType.ERROR : ReplyType.ERROR_OFFSET, true],
      ]);
      const error = replies[1]?.data as Uint8Array;
      expect(readU32(error, 0)).toBe(NbdError.EIO);
      expect(readU16(error, 4)).toBe(0);
      if (offset !== undefined) expect(readU64(error, 6)).toBe(offset);
    }
  });

  test('with DF there is one content chunk, zeroes spelled out where there is data too', () => {
    const { client, device } = setup({ readPartBytes: 4096 });
    client.request(NbdCommand.WRITE, 0, 1, 4096, 4096, pattern(4096));
    client.take();
    client.request(NbdCommand.READ, CommandFlag.DF, 2, 0, 65_536);
    const replies = client.replies();
    expect(replies).toMatchObject([{ type: ReplyType.OFFSET_DATA, done: true }]);
    const content = (replies[0] as Reply).data.subarray(8);
    expect(Buffer.compare(content, device.bytes.subarray(0, 65_536))).toBe(0);
  });

  test('with DF a read of nothing but a hole is one hole', () => {
    const { client } = setup();
    client.request(NbdCommand.READ, CommandFlag.DF, 2, 4096, 8192);
    expect(client.replies()).toMatchObject([{ type: ReplyType.OFFSET_HOLE, done: true }]);
  });

  test('an error of a read with DF comes without content', () => {
    const { client, device, bed } = setup();
    device.held = true;
    client.request(NbdCommand.READ, CommandFlag.DF, 1, 0, 1000);
    const request = device.waiting.pop() as DeviceRequest;
    request.part(0, new Uint8Array(500), 500, null);
    request.done(Status.EIO);
    bed.settle();
    expect(client.replies()).toMatchObject([{ type: ReplyType.ERROR, done: true }]);
  });
});

test('simple replies: DF is a flag that was not offered', () => {
  const { client } = setup({}, false);
  client.request(NbdCommand.READ, CommandFlag.DF, 1, 0, 512);
  expect(errorOf(client.replies())).toBe(NbdError.EINVAL);
});

describe('zeroes', () => {
  test('NO_HOLE and FAST_ZERO reach the device where zeroes are fast', () => {
    const { client, device } = setup({ fastZero: true, fastZeroNoHole: true });
    client.request(NbdCommand.WRITE_ZEROES, CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO, 1, 0, 4096);
    expect(errorOf(client.replies())).toBe(0);
    expect(device.executed[0]?.flags).toBe(DeviceFlag.NO_HOLE | DeviceFlag.FAST_ZERO);
  });

  test('FAST_ZERO is refused at once where it would be slow, per kind', () => {
    const { client, device } = setup({ fastZero: true, fastZeroNoHole: false });
    client.request(NbdCommand.WRITE_ZEROES, CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO, 1, 0, 4096);
    expect(errorOf(client.replies())).toBe(NbdError.ENOTSUP);
    client.request(NbdCommand.WRITE_ZEROES, CommandFlag.FAST_ZERO, 2, 0, 4096);
    expect(errorOf(client.replies())).toBe(0);
    client.request(NbdCommand.WRITE_ZEROES, CommandFlag.NO_HOLE, 3, 0, 4096);
    expect(errorOf(client.replies())).toBe(0);
    expect(device.executed).toHaveLength(2);
  });

  test('ENOTSUP of the device travels only as the answer to FAST_ZERO', () => {
    const { client, device } = setup();
    device.fault = () => Status.ENOTSUP;
    client.request(NbdCommand.WRITE_ZEROES, CommandFlag.FAST_ZERO, 1, 0, 4096);
    expect(errorOf(client.replies())).toBe(NbdError.ENOTSUP);
    client.request(NbdCommand.WRITE_ZEROES, 0, 1, 0, 4096);
    expect(errorOf(client.replies())).toBe(NbdError.EINVAL);
  });
});

describe('block status', () => {
  function descriptors(reply: Reply | undefined): number[][] {
    const data = reply?.data as Uint8Array;
    expect(readU32(data, 0)).toBe(1);
    return Array.from({ length: (data.length - 4) / 8 }, (_, i) => [readU32(data, 4 + i * 8), readU32(data, 8 + i * 8)]);
  }

  test('tells data from holes', () => {
    const { client } = setup();
    client.request(NbdCommand.WRITE, 0, 1, 8192, 4096, pattern(4096));
    client.take();
    client.request(NbdCommand.BLOCK_STATUS, 0, 2, 0, 65_536);
    const replies = client.replies();
    expect(replies.map((reply) => [reply.type, reply.done])).toEqual([
      [ReplyType.BLOCK_STATUS, false],
      [ReplyType.NONE, true],
    ]);
    expect(descriptors(replies[0])).toEqual([
      [8192, 3],
      [4096, 0],
      [53_248, 3],
    ]);
  });

  test('with REQ_ONE tells one run, no longer than asked', () => {
    const { client, device } = setup();
    client.request(NbdCommand.WRITE, 0, 1, 8192, 4096, pattern(4096));
    client.take();
    client.request(NbdCommand.BLOCK_STATUS, CommandFlag.REQ_ONE, 2, 0, 65_536);
    expect(descriptors(client.replies()[0])).toEqual([[8192, 3]]);
    expect(device.executed.at(-1)?.flags).toBe(DeviceFlag.ONE_EXTENT);
    client.request(NbdCommand.BLOCK_STATUS, CommandFlag.REQ_ONE, 3, 0, 512);
    expect(descriptors(client.replies()[0])).toEqual([[512, 3]]);
  });

  test('without a selected context is invalid', () => {
    const { bed, device } = setup();
    const client = bed.attach(device, true, false);
    client.request(NbdCommand.BLOCK_STATUS, 0, 1, 0, 4096);
    expect(errorOf(client.replies())).toBe(NbdError.EINVAL);
  });

  test('an error of the device is an error chunk', () => {
    const { client, device } = setup();
    device.fault = () => Status.EIO;
    client.request(NbdCommand.BLOCK_STATUS, 0, 1, 0, 4096);
    expect(errorOf(client.replies())).toBe(NbdError.EIO);
  });
});

describe('large writes', () => {
  test('go down in parts that end at multiples of the part size, before the rest has come', () => {
    const { client, device, bed } = setup({}, true, 64 * MIB);
    const offset = MIB - 5000;
    const payload = pattern(3 * MIB);
    const bytes = requestBytes(NbdCommand.WRITE, CommandFlag.FUA, 1, offset, payload.length, payload);
    client.send(bytes.subarray(0, 28 + 5000));
    expect(device.executed).toEqual([{ operation: DeviceOperation.WRITE, flags: DeviceFlag.FUA, offsetBytes: offset, lengthBytes: 5000 }]);
    client.send(bytes.subarray(28 + 5000));
    expect(device.executed.map(({ offsetBytes, lengthBytes, flags }) => [offsetBytes, lengthBytes, flags])).toEqual([
      [offset, 5000, DeviceFlag.FUA],
      [MIB, MIB, DeviceFlag.FUA],
      [2 * MIB, MIB, DeviceFlag.FUA],
      [3 * MIB, MIB - 5000, DeviceFlag.FUA],
    ]);
    expect(client.replies()).toMatchObject([{ cookie: 1, error: 0 }]);
    expect(Buffer.compare(device.bytes.subarray(offset, offset + payload.length), payload)).toBe(0);
    expect(bed.heldBytes()).toBe(0);
  });

  test('are answered once, when the last part is done, with the first error', () => {
    const { client, device, bed } = setup({}, true, 64 * MIB);
    device.held = true;
    client.request(NbdCommand.WRITE, 0, 1, 0, 4 * MIB, pattern(4 * MIB));
    expect(device.waiting.map((request) => request.lengthBytes)).toEqual([MIB, MIB, MIB, MIB]);
    const [first, second, third, fourth] = device.waiting.splice(0) as [DeviceRequest, DeviceRequest, DeviceRequest, DeviceRequest];
    third.done(Status.ENOSPC, 2 * MIB + 512);
    first.done(Status.OK);
    fourth.done(Status.EIO);
    bed.settle();
    expect(client.replies()).toEqual([]);
    second.done(Status.OK);
    bed.settle();
    const replies = client.replies();
    expect(replies).toMatchObject([{ type: ReplyType.ERROR_OFFSET, done: true }]);
    expect(errorOf(replies)).toBe(NbdError.ENOSPC);
    expect(readU64(replies[0]?.data as Uint8Array, 6)).toBe(2 * MIB + 512);
    expect(bed.heldBytes()).toBe(0);
  });

  test('after an error the rest of the payload is skipped, and the next request is understood', () => {
    const { client, device } = setup({}, true, 64 * MIB);
    device.fault = () => Status.EIO;
    const bytes = requestBytes(NbdCommand.WRITE, 0, 1, 0, 8 * MIB, pattern(8 * MIB));
    client.send(bytes.subarray(0, 28 + WRITE_PART_BYTES));
    expect(client.replies()).toEqual([]);
    client.send(concat([bytes.subarray(28 + WRITE_PART_BYTES), requestBytes(NbdCommand.FLUSH, 0, 2, 0, 0)]));
    expect(device.executed.map(({ operation }) => operation)).toEqual([DeviceOperation.WRITE, DeviceOperation.FLUSH]);
    expect(client.replies().map((reply) => reply.cookie)).toEqual([1, 2]);
  });

  test('the payload of a refused write is skipped as it comes, in small memory', () => {
    const { client, device, bed } = setup({}, true, 64 * MIB);
    client.send(requestBytes(NbdCommand.WRITE, 0, 1, 63 * MIB, PAYLOAD_BYTES_MAX));
    const piece = new Uint8Array(MIB);
    for (let sent = 0; sent < PAYLOAD_BYTES_MAX; sent += MIB) {
      expect(client.take()).toHaveLength(0);
      client.send(piece);
      expect(bed.slabs.heldBytes).toBeLessThan(2 * MIB);
    }
    expect(errorOf(client.replies())).toBe(NbdError.ENOSPC);
    expect(device.executed).toEqual([]);
  });
});

test('counters: operations, bytes and errors, per connection and per export', () => {
  const { client, bed, device } = setup();
  const other = bed.attach(device);
  client.request(NbdCommand.WRITE, 0, 1, 0, 1000, pattern(1000));
  client.request(NbdCommand.READ, 0, 2, 0, 500);
  client.request(NbdCommand.READ, 0, 3, device.sizeBytes, 500);
  other.request(NbdCommand.READ, 0, 2, 0, 250);
  other.request(99, 0, 2, 0, 250);
  device.fault = () => Status.EIO;
  client.request(NbdCommand.WRITE, 0, 4, 0, 1000, pattern(1000));
  const [first, second] = bed.server.connections();
  expect(Array.from(first?.counters.operations ?? [])).toEqual([2, 2, 0, 0, 0, 0, 0, 0]);
  expect(Array.from(first?.counters.bytes ?? [])).toEqual([500, 1000, 0, 0, 0, 0, 0, 0]);
  expect(Array.from(first?.counters.errors ?? [])).toEqual([1, 1, 0, 0, 0, 0, 0, 0]);
  expect(Array.from(second?.counters.bytes ?? [])).toEqual([250, 0, 0, 0, 0, 0, 0, 0]);
  const [exported] = bed.server.exports();
  expect(Array.from(exported?.counters.operations ?? [])).toEqual([3, 2, 0, 0, 0, 0, 0, 0]);
  expect(exported?.connections).toBe(2);
});

test('a device that grows is served up to its new end', () => {
  const { client, device } = setup({}, true, MIB);
  Object.defineProperty(device, 'sizeBytes', { value: 512 * 1024 });
  client.request(NbdCommand.READ, 0, 1, 512 * 1024, 512);
  expect(errorOf(client.replies())).toBe(NbdError.EINVAL);
  Object.defineProperty(device, 'sizeBytes', { value: MIB });
  client.request(NbdCommand.READ, 0, 1, 512 * 1024, 512);
  expect(errorOf(client.replies())).toBe(0);
});
