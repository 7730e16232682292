import { SeededRandom } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { Geometry } from './geometry.ts';
import { SECTOR_BYTES } from './sector-model.ts';

const geometries = Array.from({ length: 20 }, (_, seed) => new Geometry(new SeededRandom(seed)));

test('every hot sector lies on the device, in the chunk that counts it', () => {
  for (const geometry of geometries) {
    for (let sector = 0; sector < geometry.hotSectorCount; sector++) {
      const offset = geometry.offsetOf(sector);
      expect(offset + SECTOR_BYTES).toBeLessThanOrEqual(geometry.sizeBytes);
      const chunk = geometry.chunkOf(sector);
      expect(geometry.hotChunks).toContain(chunk);
      const { firstSector, sectorCount } = geometry.sectorsOf(chunk);
      expect(sector).toBeGreaterThanOrEqual(firstSector);
      expect(sector).toBeLessThan(firstSector + sectorCount);
    }
  }
});

test('the hot chunks have all hot sectors, each once; the last chunk is short', () => {
  for (const geometry of geometries) {
    const counted = geometry.hotChunks.reduce((sum, chunk) => sum + geometry.sectorsOf(chunk).sectorCount, 0);
    expect(counted).toBe(geometry.hotSectorCount);
    expect(geometry.bytesOf(geometry.chunkCount - 1)).toBeLessThan(geometry.chunkSizeBytes);
    expect(geometry.sectorsOf(Math.floor(geometry.chunkCount / 2)).sectorCount).toBe(0);
  }
});
