import type { SeededRandom } from '@rmr/runtime';
import { randomBelow } from '@rmr/runtime';
import { SECTOR_BYTES } from './sector-model.ts';

/**
 * The device of a run. It has more than one write-intent region; the workload uses a few small areas of it,
 * so that operations meet. The sectors of these areas are numbered through: the hot sectors, which the model knows.
 */
export class Geometry {
  readonly sizeBytes = DEVICE_BYTES;
  readonly chunkSizeBytes: number;
  readonly chunkCount: number;
  readonly queueDepth: number;
  readonly areas: readonly Area[];
  readonly hotSectorCount = AREA_SECTORS * AREA_COUNT;
  /** Chunks that have a hot sector, in order. */
  readonly hotChunks: readonly number[];

  constructor(random: SeededRandom) {
    this.chunkSizeBytes = CHUNK_BYTES[randomBelow(random, CHUNK_BYTES.length)] as number;
    this.queueDepth = QUEUE_DEPTHS[randomBelow(random, QUEUE_DEPTHS.length)] as number;
    this.chunkCount = Math.ceil(DEVICE_BYTES / this.chunkSizeBytes);
    const areaBytes = AREA_SECTORS * SECTOR_BYTES;
    const offsets = [0, REGION_BYTES - areaBytes / 2, DEVICE_BYTES - areaBytes];
    this.areas = offsets.map((offsetBytes, index) => ({ firstSector: index * AREA_SECTORS, sectorCount: AREA_SECTORS, offsetBytes }));
    const hot = new Set<number>();
    for (let sector = 0; sector < this.hotSectorCount; sector++) hot.add(this.chunkOf(sector));
    this.hotChunks = [...hot].sort((a, b) => a - b);
  }

  /** Where a hot sector lies on the device, in bytes. */
  offsetOf(sector: number): number {
    const area = this.areas[Math.floor(sector / AREA_SECTORS)] as Area;
    return area.offsetBytes + (sector - area.firstSector) * SECTOR_BYTES;
  }

  /** The chunk that a hot sector lies in. */
  chunkOf(sector: number): number {
    return Math.floor(this.offsetOf(sector) / this.chunkSizeBytes);
  }

  /** Bytes of a chunk; the last one is short. */
  bytesOf(chunk: number): number {
    return Math.min(this.chunkSizeBytes, this.sizeBytes - chunk * this.chunkSizeBytes);
  }

  /** The hot sectors of a chunk: the first and how many. */
  sectorsOf(chunk: number): { readonly firstSector: number; readonly sectorCount: number } {
    const from = chunk * this.chunkSizeBytes;
    for (const area of this.areas) {
      const first = Math.max(0, (from - area.offsetBytes) / SECTOR_BYTES);
      const end = Math.min(area.sectorCount, (from + this.bytesOf(chunk) - area.offsetBytes) / SECTOR_BYTES);
      if (end > first) return { firstSector: area.firstSector + first, sectorCount: end - first };
    }
    return { firstSector: 0, sectorCount: 0 };
  }
}

/** The smallest write-intent region that a store has. */
const REGION_BYTES = 4 * 1024 * 1024;
/** A whole region and a short one, as what is resynced after a power loss is whole regions; the last chunk is short, too. */
const DEVICE_BYTES = REGION_BYTES + 96 * 1024 + 5 * SECTOR_BYTES;
/** Where the workload plays: at the start, across the border of two regions, and at the end. */
const AREA_SECTORS = 64;
const AREA_COUNT = 3;
const CHUNK_BYTES = [4096, 8192, 16384] as const;
const QUEUE_DEPTHS = [4, 16, 32] as const;

/** A run of hot sectors that adjoin on the device. Operations stay within one. */
export interface Area {
  /** Number of the first hot sector. */
  readonly firstSector: number;
  readonly sectorCount: number;
  /** Where it lies on the device. */
  readonly offsetBytes: number;
}
