import { expect } from 'vitest';
import { readU32, readU64 } from '../wire/bytes.ts';
import { ReplyType } from '../wire/protocol.ts';
import { MemoryDevice, type MemoryDeviceOptions } from './memory-device.ts';
import { type Reply, TestBed, type TestClient } from './test-client.ts';

export const MIB = 1 << 20;

export interface Setup {
  bed: TestBed;
  device: MemoryDevice;
  client: TestClient;
}

export function setup(options: MemoryDeviceOptions = {}, structured = true, sizeBytes = 4 * MIB): Setup {
  const bed = new TestBed();
  const device = new MemoryDevice(bed.world, sizeBytes, options);
  device.recording = true;
  bed.server.addExport(device);
  return { bed, device, client: bed.attach(device, structured) };
}

/** The error of a reply in either form, or 0. */
export function errorOf(replies: Reply[]): number {
  for (const reply of replies) {
    if (reply.kind === 'simple' && reply.error !== 0) return reply.error;
    if (reply.kind === 'chunk' && (reply.type & 0x8000) !== 0) return readU32(reply.data, 0);
  }
  return 0;
}

/** What a structured read brought, put together; checks that the chunks are disjoint and only the last says so. */
export function assembled(replies: Reply[], offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const seen = new Uint8Array(length);
  replies.forEach((reply, i) => {
    expect(reply.kind).toBe('chunk');
    expect(reply.done).toBe(i === replies.length - 1);
    if (reply.type === ReplyType.NONE) return;
    const at = readU64(reply.data, 0) - offset;
    const count = reply.type === ReplyType.OFFSET_HOLE ? readU32(reply.data, 8) : reply.data.length - 8;
    if (reply.type === ReplyType.OFFSET_DATA) bytes.set(reply.data.subarray(8), at);
    else expect(reply.type).toBe(ReplyType.OFFSET_HOLE);
    expect(seen.subarray(at, at + count).includes(1)).toBe(false);
    seen.fill(1, at, at + count);
  });
  expect(seen.includes(0)).toBe(false);
  return bytes;
}
