import { type Random, randomBelow } from '@rmr/runtime';
import { type DeviceRequest, RequestKind } from './device-request.ts';

/** Sectors that get most of the requests, so that requests meet. */
const HOT_SECTORS = 2048;
/** Sectors of the longest request. */
const LONG_SECTORS = 1024;

/** What a writer does next: any kind of request anywhere, of any length, more often short ones in the same place. */
export function nextRequest(random: Random, sectorCount: number): DeviceRequest {
  const draw = randomBelow(random, 1000);
  if (draw < 3) return { kind: RequestKind.FLUSH, fua: false, firstSector: 0, sectorCount: 0 };
  const length = requestSectors(random, sectorCount);
  const room = randomBelow(random, 10) < 6 ? Math.min(Math.max(HOT_SECTORS, length), sectorCount) : sectorCount;
  const place = { firstSector: randomBelow(random, room - length + 1), sectorCount: length };
  if (draw < 300) return { kind: RequestKind.READ, fua: false, ...place };
  const fua = randomBelow(random, 20) === 0;
  if (draw < 920) return { kind: RequestKind.WRITE, fua, ...place };
  return { kind: draw < 960 ? RequestKind.TRIM : RequestKind.WRITE_ZEROES, fua, ...place };
}

/** Sectors of a request: mostly the 4 KiB of file systems, else few, now and then many. */
function requestSectors(random: Random, sectorCount: number): number {
  const draw = randomBelow(random, 100);
  const length = draw < 60 ? 8 : 1 + randomBelow(random, draw < 97 ? 64 : LONG_SECTORS);
  return Math.min(length, sectorCount);
}
