import { describe, expect, test } from 'vitest';
import { Pair } from '../test-harness.ts';

describe('session', () => {
  test('a request and its response carry header and payload both ways', () => {
    const pair = new Pair().connect();
    const payload = Uint8Array.from({ length: 4096 }, (_, i) => i);
    pair.client.send('hello', 7, { payload });
    pair.until(() => pair.client.ended.size === 1, 1000, 'the response');
    expect(pair.client.ended.get(7)).toBe(0);
    expect(pair.client.responses.get(7)).toEqual({ header: 'hello', payload });
    pair.finish();
  });
});
