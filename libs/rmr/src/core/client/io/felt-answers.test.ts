import { describe, expect, test } from 'vitest';
import { feltOf } from '../../../wire/felt.ts';
import { MessageType } from '../../../wire/io-message.ts';
import type { IoRequest } from './io-request.ts';
import { FeltAnswers } from './leg-sender.ts';

const CHUNK = 65536;

function request(type: number, offsetBytes = 0, lengthBytes = 4096): IoRequest {
  return { type, offsetBytes, lengthBytes } as IoRequest;
}

describe('what a client tells a member of its answers', () => {
  /** The second chunk is dirty for every leg. */
  const felt = new FeltAnswers({ eachChunkClean: (offset, length) => offset + length <= CHUNK || offset >= 2 * CHUNK });

  test('is the slowest of those that it has not told, each member by itself', () => {
    felt.note(0, request(MessageType.READ), 3, false);
    felt.note(0, request(MessageType.WRITE), 7, false);
    felt.note(0, request(MessageType.FLUSH, 0, 0), 5, true);
    felt.note(1, request(MessageType.READ), 1, false);
    expect([felt.take(0), felt.take(1), felt.take(0)]).toEqual([feltOf(7), feltOf(1), 0]);
  });

  test('leaves out what may have waited for a pull, and ranges, which may take long by themselves', () => {
    felt.note(0, request(MessageType.WRITE, CHUNK), 900, true);
    felt.note(0, request(MessageType.DISCARD), 900, false);
    felt.note(0, request(MessageType.WRITE_ZEROES), 900, false);
    felt.note(0, request(MessageType.EXTENTS), 900, false);
    expect(felt.take(0)).toBe(0);
    felt.note(0, request(MessageType.WRITE, 2 * CHUNK), 4, true);
    expect(felt.take(0)).toBe(feltOf(4));
  });
});
