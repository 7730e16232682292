import { closeSync, openSync, readSync } from 'node:fs';
import { type DataArea, dataAreas } from '@rmr/cluster';
import { SECTOR_BYTES } from './stamp.ts';

const PIECE_BYTES = 1024 * 1024;
/** Runs of sectors that are named. */
const RUNS_MAX = 8;

/** Where the members' data differs, for people: runs of sectors, and who holds the same. */
export async function describeDifference(directory: string): Promise<string> {
  const areas = await dataAreas(directory);
  const [first, ...others] = areas;
  if (first === undefined) return 'there are no members';
  const lines = others.map((other) => `${first.name} and ${other.name}: ${describeRuns(differingRuns(first, other))}`);
  return lines.join('; ');
}

interface Run {
  readonly firstSector: number;
  sectorCount: number;
}

function describeRuns(runs: readonly Run[]): string {
  if (runs.length === 0) return 'the same';
  const named = runs.slice(0, RUNS_MAX).map(({ firstSector, sectorCount }) => `${sectorCount} from ${firstSector}`);
  const more = runs.length > RUNS_MAX ? ` and ${runs.length - RUNS_MAX} more runs` : '';
  return `sectors that differ: ${named.join(', ')}${more}`;
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
