import { describe, expect, test } from 'vitest';
import { CONTROL_BYTES_MAX, LIVES_MAX, MEMBERS_MAX } from '../constants.ts';
import { probeOf } from '../testing/scripted-pool.ts';
import { controlRequestSchema, decodeControlBody, encodeControlBody, probeResultSchema } from './control-message.ts';
import { decodeExtents, EXTENTS_MAX, encodeExtents } from './extents.ts';

const UUID = '0b8f3c52-3f5e-4f0a-9b0a-6f1f7a2d9c11';
const text = (body: string) => new TextEncoder().encode(body);

describe('control message', () => {
  test('a claim survives the wire', () => {
    const claim = { op: 'claim', poolUuid: UUID, epoch: 3, clientInstance: UUID, clientName: 'client-1', takeover: false } as const;
    expect(decodeControlBody(controlRequestSchema, encodeControlBody(claim))).toEqual({ body: claim });
  });

  test.each([
    ['no body', null],
    ['body is not JSON', text('{')],
    ['body is not JSON', new Uint8Array([0xff, 0xfe])],
    ['body beyond the limit', new Uint8Array(CONTROL_BYTES_MAX + 1)],
    ['op', text('{"op":"format"}')],
    ['poolUuid', text('{"op":"probe","poolUuid":"x"}')],
    ['Unrecognized', text(`{"op":"probe","poolUuid":"${UUID}","extra":1}`)],
    ['epoch', text(`{"op":"claim","poolUuid":"${UUID}","epoch":0,"clientInstance":"${UUID}","clientName":"c"}`)],
    ['epoch', text(`{"op":"claim","poolUuid":"${UUID}","epoch":4294967296,"clientInstance":"${UUID}","clientName":"c"}`)],
    ['clientName', text(`{"op":"claim","poolUuid":"${UUID}","epoch":1,"clientInstance":"${UUID}","clientName":""}`)],
  ])('is refused: %s', (reason, payload) => {
    expect(decodeControlBody(controlRequestSchema, payload)).toEqual({ reason: expect.stringContaining(reason) });
  });

  test('a version record with more members than a pool has is refused', () => {
    const inSync = Array.from({ length: 9 }, (_, i) => ({ memberId: i + 1, storeUuid: UUID }));
    const version = { lineageUuid: UUID, epoch: 1, seq: 1, inSync, horizon: 0 };
    const request = { op: 'record-version', poolUuid: UUID, epoch: 1, version, members: [], mapAdds: [] } as never;
    expect(decodeControlBody(controlRequestSchema, encodeControlBody(request))).toHaveProperty('reason');
  });
});

describe('the past of a store (L8)', () => {
  const life = { lifeUuid: UUID, firstAge: 1, lastAge: null, openedAtMs: 0 };
  const refused = (fields: Record<string, unknown>): boolean =>
    'reason' in decodeControlBody(probeResultSchema, text(JSON.stringify({ ...probeOf(1), ...fields })));
  const past = (fields: Record<string, unknown>): boolean => refused({ past: { age: 1, lives: [life], ...fields } });

  test('survives the wire with a probe, and so do marks with a renewal', () => {
    expect(decodeControlBody(probeResultSchema, encodeControlBody(probeOf(1)))).toEqual({ body: probeOf(1) });
    const marks = [{ memberId: 2, storeUuid: UUID, seen: { lifeUuid: UUID, age: 7, atMs: 9 } }];
    const renew = { op: 'renew', poolUuid: UUID, epoch: 3, completedThrough: 9, marks } as const;
    expect(decodeControlBody(controlRequestSchema, encodeControlBody({ ...renew, marks }))).toEqual({ body: renew });
  });

  test('is never missing: a node that tells nothing of it is of another version', () => {
    expect([refused({ past: undefined }), refused({ released: undefined }), refused({ missedBytes: undefined })]).toEqual([
      true,
      true,
      true,
    ]);
  });

  test('has one life at least, and no more than are remembered', () => {
    const lives = (count: number) => past({ lives: Array.from({ length: count }, () => life) });
    expect([lives(0), lives(1), lives(LIVES_MAX), lives(LIVES_MAX + 1)]).toEqual([true, false, false, true]);
  });

  test.each([
    ['an age below zero', { age: -1 }],
    ['an age beyond what numbers say exactly', { age: 2 ** 53 }],
    ['a life without a UUID', { lives: [{ ...life, lifeUuid: 'x' }] }],
    ['a life that ended at an age below zero', { lives: [{ ...life, lastAge: -1 }] }],
    ['a field of another version', { extra: 1 }],
  ])('is refused with %s', (_name, fields) => {
    expect(past(fields)).toBe(true);
  });

  test('marks are for as many members as a pool has, and are never missing from a renewal or a release', () => {
    const mark = { memberId: 2, storeUuid: UUID, seen: { lifeUuid: UUID, age: 7, atMs: 9 } };
    const bad = (op: string, marks: unknown): boolean =>
      'reason' in
      decodeControlBody(
        controlRequestSchema,
        text(JSON.stringify({ op, poolUuid: UUID, epoch: 1, marks, ...(op === 'renew' ? { completedThrough: 0 } : {}) })),
      );
    for (const op of ['renew', 'release']) {
      expect([
        bad(op, []),
        bad(op, undefined),
        bad(
          op,
          Array.from({ length: MEMBERS_MAX + 1 }, () => mark),
        ),
      ]).toEqual([false, true, true]);
      expect(bad(op, [{ ...mark, seen: { lifeUuid: UUID, age: 7 } }])).toBe(true);
    }
  });
});

describe('extents', () => {
  test('survive the wire and are bounded', () => {
    const extents = [
      { lengthBytes: 4096, hole: false },
      { lengthBytes: 8192, hole: true },
    ];
    expect(Array.from(encodeExtents(extents))).toEqual([0, 16, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 1, 0, 0, 0]);
    expect(decodeExtents(encodeExtents(extents), 12288)).toEqual(extents);
    const many = Array.from({ length: EXTENTS_MAX + 1 }, () => ({ lengthBytes: 1, hole: false }));
    expect(encodeExtents(many).length).toBe(EXTENTS_MAX * 8);
  });

  test.each([
    ['wrong length', null],
    ['wrong length', new Uint8Array(0)],
    ['wrong length', new Uint8Array(7)],
    ['empty run', new Uint8Array(8)],
    ['unknown flag', Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0)],
    ['beyond the range', Uint8Array.of(1, 64, 0, 0, 0, 0, 0, 0)],
  ])('are refused: %s', (reason, payload) => {
    expect(decodeExtents(payload, 16384)).toBe(`extents: ${reason}`);
  });
});
