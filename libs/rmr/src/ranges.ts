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

/** What of the ranges none of `others` covers. */
export function subtractRanges(ranges: readonly ByteRange[], others: readonly ByteRange[]): ByteRange[] {
  const gaps = mergeRanges(others);
  const rest: ByteRange[] = [];
  for (const { offsetBytes, lengthBytes } of ranges) {
    const end = offsetBytes + lengthBytes;
    let from = offsetBytes;
    for (const gap of gaps) {
      if (gap.offsetBytes >= end) break;
      if (gap.offsetBytes > from) rest.push({ offsetBytes: from, lengthBytes: gap.offsetBytes - from });
      from = Math.max(from, gap.offsetBytes + gap.lengthBytes);
    }
    if (from < end) rest.push({ offsetBytes: from, lengthBytes: end - from });
  }
  return rest;
}

/** Whether the range overlaps one of `others`. */
export function overlapsAny({ offsetBytes, lengthBytes }: ByteRange, others: readonly ByteRange[]): boolean {
  const end = offsetBytes + lengthBytes;
  return others.some((other) => other.offsetBytes < end && offsetBytes < other.offsetBytes + other.lengthBytes);
}
