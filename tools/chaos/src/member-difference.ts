import { closeSync, openSync, readSync } from 'node:fs';
import type { DataArea } from '@rmr/cluster';
import { SECTOR_BYTES } from './stamp.ts';

const PIECE_BYTES = 1024 * 1024;
/** Runs of sectors that are named. */
const RUNS_MAX = 8;

/** Where the members' data differs, for people: runs of sectors. Null where it does not (I5). */
export function describeDifference([first, ...others]: readonly DataArea[]): string | null {
  if (first === undefined) return null;
  const lines: string[] = [];
  for (const other of others) {
    const runs = differingRuns(first, other);
    if (runs.length > 0) lines.push(`${first.name} and ${other.name} differ in ${describeRuns(runs)}`);
  }
  return lines.length === 0 ? null : lines.join('; ');
}

interface Run {
  readonly firstSector: number;
  sectorCount: number;
}

function describeRuns(runs: readonly Run[]): string {
  const named = runs.slice(0, RUNS_MAX).map(({ firstSector, sectorCount }) => `${firstSector} to ${firstSector + sectorCount - 1}`);
  const more = runs.length > RUNS_MAX ? ` and ${runs.length - RUNS_MAX} more runs` : '';
  return `sectors ${named.join(', ')}${more}`;
}

/** Runs of sectors in which two data areas differ. */
export function differingRuns(a: DataArea, b: DataArea): Run[] {
  const runs: Run[] = [];
  const files = [openSync(a.path, 'r'), openSync(b.path, 'r')] as const;
  try {
    const pieces = [Buffer.alloc(PIECE_BYTES), Buffer.alloc(PIECE_BYTES)] as const;
    const lengthBytes = Math.min(a.lengthBytes, b.lengthBytes);
    for (let at = 0; at < lengthBytes; at += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, lengthBytes - at);
      for (const piece of pieces) piece.fill(0);
      readSync(files[0], pieces[0], 0, length, a.offsetBytes + at);
      readSync(files[1], pieces[1], 0, length, b.offsetBytes + at);
      if (pieces[0].equals(pieces[1])) continue;
      for (let offset = 0; offset < length; offset += SECTOR_BYTES) {
        if (pieces[0].compare(pieces[1], offset, offset + SECTOR_BYTES, offset, offset + SECTOR_BYTES) === 0) continue;
        const sector = (at + offset) / SECTOR_BYTES;
        const last = runs.at(-1);
        if (last !== undefined && last.firstSector + last.sectorCount === sector) last.sectorCount++;
        else runs.push({ firstSector: sector, sectorCount: 1 });
      }
    }
  } finally {
    for (const file of files) closeSync(file);
  }
  return runs;
}
