/** What the model counts in: a disk writes a sector whole or not at all. */
export const SECTOR_BYTES = 512;

/** Words of 8 bytes in a sector: the stamp of its write and its own number, in turns. */
const WORDS = SECTOR_BYTES / 8;

/** The bytes of a write: every sector carries the write's stamp (from 1) and its number. */
export function stampedSectors(firstSector: number, sectorCount: number, stamp: number): Uint8Array {
  const words = new Float64Array(sectorCount * WORDS);
  for (let index = 0; index < sectorCount; index++) {
    for (let word = index * WORDS; word < (index + 1) * WORDS; word += 2) {
      words[word] = stamp;
      words[word + 1] = firstSector + index;
    }
  }
  return new Uint8Array(words.buffer);
}

/** The stamps of sectors that were read, 0 for zeroes; or what is wrong with the first that no write has made. */
export function stampsOf(bytes: Uint8Array, firstSector: number): readonly number[] | string {
  // A view of words has to begin at a multiple of eight: a copy does.
  const words = new Float64Array(new Uint8Array(bytes).buffer);
  const stamps: number[] = [];
  for (let index = 0; index * SECTOR_BYTES < bytes.length; index++) {
    const sector = firstSector + index;
    const first = index * WORDS;
    const stamp = words[first] as number;
    const number = stamp === 0 ? 0 : sector;
    for (let word = first; word < first + WORDS; word += 2) {
      if (words[word] === stamp && words[word + 1] === number) continue;
      return describeForeign(words.subarray(first, first + WORDS), sector);
    }
    stamps.push(stamp);
  }
  return stamps;
}

function describeForeign(words: Float64Array, sector: number): string {
  const stamps = new Set(words.filter((_word, index) => index % 2 === 0));
  const numbers = new Set(words.filter((_word, index) => index % 2 === 1));
  if (stamps.size === 1 && numbers.size === 1) {
    return `sector ${sector}: holds what was written to sector ${[...numbers][0]} with stamp ${[...stamps][0]}`;
  }
  if ([...stamps].every(isStamp)) return `sector ${sector}: torn, parts of the writes ${[...stamps].join(', ')}`;
  return `sector ${sector}: holds bytes that nobody wrote: ${Buffer.from(words.slice().buffer).toString('hex', 0, 32)}…`;
}

function isStamp(word: number): boolean {
  return Number.isSafeInteger(word) && word >= 0;
}
