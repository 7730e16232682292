import { ChunkGrid } from '@rmr/dirty-map';
import { Status } from '@rmr/runtime';
import { beforeEach, expect, test } from 'vitest';
import { MessageType } from '../../../wire/io-message.ts';
import { ChunkReads } from './chunk-reads.ts';
import { IoRequest } from './io-request.ts';

const CHUNK = 4096;
let sent: IoRequest[];
let ended: [IoRequest, number, Uint8Array | null][];

beforeEach(() => {
  sent = [];
  ended = [];
});

function request(offsetBytes: number, lengthBytes: number, type: IoRequest['type'] = MessageType.READ): IoRequest {
  const whole = new IoRequest({ onIoDone: () => {} });
  return Object.assign(whole, { type, offsetBytes, lengthBytes, submittedAtMs: 77 });
}

function reads(whole: IoRequest): ChunkReads {
  return new ChunkReads(
    {
      submit: (part) => sent.push(part),
      finish: (...end) => ended.push([end[0], end[1], end[2]]),
    },
    whole,
    new ChunkGrid(64 * CHUNK, CHUNK),
  );
}

/** Ends the read under way, with bytes of this value. */
function answer(value: number): void {
  const part = sent[sent.length - 1] as IoRequest;
  part.sink.onIoDone(part, Status.OK, new Uint8Array(part.lengthBytes).fill(value), null);
}

test('I8: one chunk after the other, and the whole ends with what each had', () => {
  const whole = request(CHUNK - 512, CHUNK + 1024);
  expect(reads(whole).begin()).toBe(true);
  const asked: [number, number, number][] = [];
  for (let value = 1; ended.length === 0; value++) {
    const part = sent[sent.length - 1] as IoRequest;
    asked.push([part.offsetBytes, part.lengthBytes, part.submittedAtMs]);
    answer(value);
  }
  expect(asked).toEqual([
    [CHUNK - 512, 512, 77],
    [CHUNK, CHUNK, 77],
    [2 * CHUNK, 512, 77],
  ]);
  const payload = ended[0]?.[2] as Uint8Array;
  expect([ended.length, ended[0]?.[0] === whole, ended[0]?.[1], payload.length]).toEqual([1, true, Status.OK, CHUNK + 1024]);
  expect(sent.every(({ isPart }) => isPart)).toBe(true);
  expect([payload[0], payload[512], payload[511 + CHUNK], payload[512 + CHUNK]]).toEqual([1, 2, 2, 3]);
});

test('the first chunk that nobody can read ends it, with that error', () => {
  reads(request(0, 3 * CHUNK)).begin();
  answer(1);
  const part = sent[sent.length - 1] as IoRequest;
  part.sink.onIoDone(part, Status.EIO, null, null);
  expect([sent.length, ended.map(([, status, payload]) => [status, payload])]).toEqual([2, [[Status.EIO, null]]]);
});

test('within one chunk, and for what is no read, there is nothing to be gained', () => {
  expect(reads(request(CHUNK, CHUNK)).begin()).toBe(false);
  expect(reads(request(0, 9 * CHUNK, MessageType.EXTENTS)).begin()).toBe(false);
  expect(sent).toEqual([]);
});
