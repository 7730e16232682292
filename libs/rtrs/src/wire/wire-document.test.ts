import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeUuid } from '@rmr/runtime';
import { CheckedTables, layoutComplaints, numberedNames, rowNames } from '@rmr/testing';
import { describe, expect, test } from 'vitest';
import {
  encodeFrameHeader,
  FRAME_FLAG_PAYLOAD_CHECKSUM,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  FrameKind,
  HANDSHAKE_BYTES,
  invalidFrameHeader,
  RefusalCode,
} from './frame-header.ts';
import { encodeHandshake, FEATURE_PAYLOAD_CHECKSUM } from './handshake.ts';

const [, document = ''] = readFileSync(join(import.meta.dirname, '../../../../docs/wire-format.md'), 'utf8').split(/^## /m);
const tables = new CheckedTables(document);

/** A frame header of that kind with a user header of that many zeroes. */
function frame(kind: number, userHeaderLength: number): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + userHeaderLength);
  encodeFrameHeader(bytes, 0, kind as FrameKind, userHeaderLength, 0x0102, 0x0304, 5, 6, FRAME_FLAG_PAYLOAD_CHECKSUM, 7);
  return bytes;
}

describe('docs/wire-format.md, RTRS', () => {
  test('the frame header', () => {
    const table = tables.take('Frame', 'offset', 'size', 'field');
    const values = {
      'header checksum': 'any',
      magic: FRAME_MAGIC,
      kind: FrameKind.REQUEST,
      flags: FRAME_FLAG_PAYLOAD_CHECKSUM,
      'user header length': 3,
      slot: 0x0102,
      generation: 0x0304,
      status: 5,
      'payload length': 6,
      'payload checksum': 7,
    } as const;
    expect(layoutComplaints(table, frame(FrameKind.REQUEST, 3).subarray(0, FRAME_HEADER_BYTES), values)).toEqual([]);
    const [, , , flags = ''] = table.rows.find(([, , field]) => field === 'flags') ?? [];
    expect(numberedNames(flags)).toEqual({ PAYLOAD_CHECKSUM: FRAME_FLAG_PAYLOAD_CHECKSUM });
  });

  test('the kinds of frames, and how long their user headers may be', () => {
    const table = tables.take('Kinds', 'kind', 'name', 'from', 'user header');
    expect(rowNames(table)).toEqual(FrameKind);
    for (const [kind = '', name, , userHeader = ''] of table.rows) {
      const [most = 0, least = 0] = (userHeader.match(/\d+/g) ?? []).map(Number).reverse();
      const min = userHeader.startsWith('handshake') ? most : least;
      const judge = (length: number) => invalidFrameHeader(frame(Number(kind), length), 0);
      expect([judge(min), judge(most)], name).toEqual([null, null]);
      expect(judge(most + 1), name).toBe('frame: user header too long');
      if (min > 0) expect(judge(min - 1), name).toBe('frame: user header too short');
    }
  });

  test('the handshake', () => {
    const table = tables.take('Handshake', 'offset', 'size', 'HELLO', 'WELCOME');
    const [hostUuid, bootId, incarnation] = ['11', '22', '33'].map((digits) => `${digits.repeat(4)}-2222-4333-8444-555555555555`) as [
      string,
      string,
      string,
    ];
    const uuid = (text: string) => {
      const bytes = new Uint8Array(16);
      encodeUuid(text, bytes, 0);
      return bytes;
    };
    const bytes = new Uint8Array(HANDSHAKE_BYTES);
    const identity = { hostUuid, bootId, incarnation, hostName: 'host' };
    const limits = { pathId: 12, maxPayloadBytes: 13, heartbeatIntervalMs: 14, queueDepth: 15, payloadChecksum: true };
    encodeHandshake({ versionMin: 10, versionMax: 11, generation: 2 ** 40 + 1, ...limits, identity }, bytes, 0);
    const hostName = new Uint8Array(64);
    hostName.set(new TextEncoder().encode('host'));
    const values = {
      'lowest version': 10,
      'highest version': 11,
      'features wanted': FEATURE_PAYLOAD_CHECKSUM,
      'session generation to join': 2 ** 40 + 1,
      'path number': 12,
      'largest payload wanted': 13,
      'heartbeat interval wanted': 14,
      'IO permits wanted': 15,
      'host name length': 4,
      'host UUID': uuid(hostUuid),
      'boot id': uuid(bootId),
      incarnation: uuid(incarnation),
      'host name': hostName,
    };
    expect(layoutComplaints(table, bytes, values)).toEqual([]);
    const features = table.rows.find(([, , field = '']) => field.startsWith('features')) ?? [];
    expect(numberedNames(features.join(' '))).toEqual({ PAYLOAD_CHECKSUM: FEATURE_PAYLOAD_CHECKSUM });
  });

  test('the refusals', () => {
    expect(rowNames(tables.take('Handshake', 'refusal code', 'name'))).toEqual(RefusalCode);
  });

  test('every table was compared with something', () => {
    expect(tables.left).toEqual([]);
  });
});
