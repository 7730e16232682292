import { describe, expect, test } from 'vitest';
import { BLOCK_SHIFT_MAX, BLOCK_SHIFT_MIN, IO_BYTES_MAX, IO_UNITS_MAX, RANGE_BYTES_MAX } from '../constants.ts';
import { decodeIoMessage, encodeIoMessage, IO_MESSAGE_BYTES, IoFlag, IoMessage, invalidIoMessage, MessageType } from './io-message.ts';

function write(): IoMessage {
  const message = new IoMessage();
  message.type = MessageType.WRITE;
  message.flags = IoFlag.FUA;
  message.ioUnit = 0x0102;
  message.poolHandle = 3;
  message.epoch = 0x11223344;
  message.versionSeq = 7;
  message.offsetBytes = 0x1f_ffff * 2 ** 32 + 0xfffff000;
  message.lengthBytes = 4096;
  message.missingCount = 2;
  message.missingMemberIds.set([5, 9]);
  message.writeSeq = 2 ** 40 + 1;
  message.completedThrough = 2 ** 40;
  return message;
}

function encoded(message: IoMessage): Uint8Array {
  const bytes = new Uint8Array(IO_MESSAGE_BYTES + 16).fill(0xee);
  expect(encodeIoMessage(message, bytes, 8)).toBe(IO_MESSAGE_BYTES);
  return bytes.slice(8, 8 + IO_MESSAGE_BYTES);
}

describe('io message', () => {
  test('has these bytes', () => {
    expect(Array.from(encoded(write()), (byte) => byte.toString(16).padStart(2, '0')).join(' ')).toBe(
      [
        '02 01 02 01 03 00 00 00 44 33 22 11 07 00 00 00',
        '00 f0 ff ff ff ff 1f 00 00 10 00 00 02 05 09 00',
        '00 00 00 00 00 00 00 00 01 00 00 00 00 01 00 00',
        '00 00 00 00 00 01 00 00 00 00 00 00 00 00 00 00',
      ].join(' '),
    );
  });

  test('decodes to what was encoded', () => {
    const bytes = encoded(write());
    expect(invalidIoMessage(bytes, 0, bytes.length)).toBeNull();
    const decoded = new IoMessage();
    decodeIoMessage(bytes, 0, decoded);
    expect(decoded).toEqual(write());
  });

  test('is refused at every other length', () => {
    const bytes = encoded(write());
    for (let length = 0; length < IO_MESSAGE_BYTES; length++) expect(invalidIoMessage(bytes, 0, length)).toBe('io message: wrong length');
    expect(invalidIoMessage(bytes, 0, IO_MESSAGE_BYTES + 1)).toBe('io message: wrong length');
  });

  const cases: [string, (message: IoMessage) => void][] = [
    ['unknown type', (m) => (m.type = 0)],
    ['unknown type', (m) => (m.type = 8)],
    ['unknown type', (m) => (m.type = MessageType.CONTROL)],
    ['unknown flag', (m) => (m.flags = 4)],
    ['a flag does not fit the type', (m) => Object.assign(m, { flags: IoFlag.URGENT })],
    ['a flag does not fit the type', (m) => Object.assign(m, { flags: IoFlag.SPARSE, blockShift: 12 })],
    ['block size does not fit the flags', (m) => (m.flags = IoFlag.SPARSE)],
    ['block size does not fit the flags', (m) => (m.blockShift = 12)],
    ['block size does not fit the flags', (m) => Object.assign(m, { flags: IoFlag.SPARSE, blockShift: BLOCK_SHIFT_MIN - 1 })],
    ['block size does not fit the flags', (m) => Object.assign(m, { flags: IoFlag.SPARSE, blockShift: BLOCK_SHIFT_MAX + 1 })],
    ['ioUnit beyond the queue depth', (m) => (m.ioUnit = IO_UNITS_MAX)],
    ['offset beyond 2^53', (m) => (m.offsetBytes = 2 ** 53)],
    ['length does not fit the type', (m) => (m.lengthBytes = 0)],
    ['length beyond the limit', (m) => (m.lengthBytes = IO_BYTES_MAX + 1)],
    ['sequence number does not fit the type', (m) => (m.writeSeq = 0)],
    ['sequence number beyond 2^53', (m) => (m.writeSeq = 2 ** 53)],
    ['sequence number beyond 2^53', (m) => (m.completedThrough = 2 ** 53)],
  ];
  test.each(cases)('is refused: %s', (reason, damage) => {
    const message = write();
    damage(message);
    expect(invalidIoMessage(encoded(message), 0, IO_MESSAGE_BYTES)).toBe(`io message: ${reason}`);
  });

  test('is refused when members and their count differ, or reserved bytes are set', () => {
    for (const [at, value] of [
      [28, 9],
      [28, 1],
      [28, 3],
      [30, 0],
      [39, 1],
      [56, 1],
      [63, 1],
    ] as const) {
      const bytes = encoded(write());
      bytes[at] = value;
      expect(invalidIoMessage(bytes, 0, IO_MESSAGE_BYTES)).toMatch(/missing members|reserved/);
    }
  });

  test('what the client feels is one byte, and a storage node feels nothing', () => {
    const message = Object.assign(write(), { felt: 200 });
    const bytes = encoded(message);
    expect([invalidIoMessage(bytes, 0, IO_MESSAGE_BYTES), bytes[38]]).toEqual([null, 200]);
    const decoded = new IoMessage();
    decodeIoMessage(bytes, 0, decoded);
    expect(decoded).toEqual(message);
    const read = encoded(Object.assign(message, { type: MessageType.SYNC_READ, flags: 0, writeSeq: 0 }));
    expect(invalidIoMessage(read, 0, IO_MESSAGE_BYTES)).toBe('io message: a storage node feels nothing');
  });

  test('a sparse read of another storage node says how large a block is, and may ask for as much as a discard', () => {
    const read = write();
    Object.assign(read, { type: MessageType.SYNC_READ, flags: IoFlag.SPARSE, blockShift: 12, writeSeq: 0, lengthBytes: RANGE_BYTES_MAX });
    const bytes = encoded(read);
    expect([invalidIoMessage(bytes, 0, IO_MESSAGE_BYTES), bytes[1], bytes[37]]).toEqual([null, 8, 12]);
    const decoded = new IoMessage();
    decodeIoMessage(bytes, 0, decoded);
    expect(decoded).toEqual(read);
    read.lengthBytes++;
    expect(invalidIoMessage(encoded(read), 0, IO_MESSAGE_BYTES)).toBe('io message: length beyond the limit');
    Object.assign(read, { flags: 0, blockShift: 0, lengthBytes: IO_BYTES_MAX + 1 });
    expect(invalidIoMessage(encoded(read), 0, IO_MESSAGE_BYTES)).toBe('io message: length beyond the limit');
  });

  test('a read has no sequence number, a flush no length', () => {
    const read = write();
    read.type = MessageType.READ;
    expect(invalidIoMessage(encoded(read), 0, IO_MESSAGE_BYTES)).toBe('io message: sequence number does not fit the type');
    read.writeSeq = 0;
    expect(invalidIoMessage(encoded(read), 0, IO_MESSAGE_BYTES)).toBeNull();
    const flush = write();
    flush.type = MessageType.FLUSH;
    flush.writeSeq = 0;
    expect(invalidIoMessage(encoded(flush), 0, IO_MESSAGE_BYTES)).toBe('io message: length does not fit the type');
    flush.lengthBytes = 0;
    expect(invalidIoMessage(encoded(flush), 0, IO_MESSAGE_BYTES)).toBeNull();
  });
});
