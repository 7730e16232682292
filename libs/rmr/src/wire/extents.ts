import { assert, type DiskExtent } from '@rmr/runtime';

/**
 * The answer to an EXTENTS request: runs that cover the range, 8 bytes each, little-endian: u32 length in bytes, u32
 * flags (bit 0: hole). A server may answer for a first part of the range only; the client asks for the rest.
 */
const EXTENT_BYTES = 8;
const HOLE = 1;

/** Runs in one answer. */
export const EXTENTS_MAX = 16_384;

/** The wire form of the first {@link EXTENTS_MAX} runs. */
export function encodeExtents(extents: readonly DiskExtent[]): Uint8Array {
  const count = Math.min(extents.length, EXTENTS_MAX);
  const bytes = new Uint8Array(count * EXTENT_BYTES);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) {
    const extent = extents[i] as DiskExtent;
    assert(extent.lengthBytes > 0 && extent.lengthBytes <= 0xffff_ffff, 'extents: a run is out of range');
    view.setUint32(i * EXTENT_BYTES, extent.lengthBytes, true);
    view.setUint32(i * EXTENT_BYTES + 4, extent.hole ? HOLE : 0, true);
  }
  return bytes;
}

/** The runs of an answer for a range of `lengthBytes`, or the reason why the answer is malformed. */
export function decodeExtents(payload: Uint8Array | null, lengthBytes: number): readonly DiskExtent[] | string {
  if (payload === null || payload.length === 0 || payload.length % EXTENT_BYTES !== 0) return 'extents: wrong length';
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const extents: DiskExtent[] = [];
  let total = 0;
  for (let at = 0; at < payload.length; at += EXTENT_BYTES) {
    const length = view.getUint32(at, true);
    const flags = view.getUint32(at + 4, true);
    if (length === 0) return 'extents: empty run';
    if ((flags & ~HOLE) !== 0) return 'extents: unknown flag';
    total += length;
    if (total > lengthBytes) return 'extents: beyond the range';
    extents.push({ lengthBytes: length, hole: (flags & HOLE) !== 0 });
  }
  return extents;
}
