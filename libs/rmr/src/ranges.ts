import type { ByteRange } from './pool-store.ts';

/** Merges overlapping and adjacent ranges, in order of their offsets. */
export function mergeRanges(ranges: readonly ByteRange[]): ByteRange[] {
  const sorted = [...ranges].sort((a, b) => a.offsetBytes - b.offsetBytes);
  const merged: { offsetBytes: number; lengthBytes: number }[] = [];
  for (const range of sorted) {
    const last = merged[merged.length - 1];
    const end = range.offsetBytes + range.lengthBytes;
    if (last === undefined || range.offsetBytes > last.offsetBytes + last.lengthBytes) merged.push({ ...range });
    else last.lengthBytes = Math.max(last.lengthBytes, end - last.offsetBytes);
  }
  return merged;
}
