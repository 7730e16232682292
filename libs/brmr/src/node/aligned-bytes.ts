import { addressOf } from '@rmr/runtime/node';

/** Alignment of memory, offsets and lengths that direct IO is satisfied with on every device. */
export const ALIGN_BYTES = 4096;

/** Memory for direct IO. */
export function alignedBytes(lengthBytes: number): Uint8Array {
  const memory = new Uint8Array(lengthBytes + ALIGN_BYTES);
  const skip = (ALIGN_BYTES - (addressOf(memory) % ALIGN_BYTES)) % ALIGN_BYTES;
  return memory.subarray(skip, skip + lengthBytes);
}
