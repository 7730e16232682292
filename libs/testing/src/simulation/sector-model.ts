/**
 * What a device may answer: one linearizable register per sector, with crashes.
 *
 * A write is a value that took effect at some moment between its begin and its end. One that was never acknowledged
 * ends with the crash of its client, and may or may not have taken effect by then. A read says which value was there.
 * From both follows which values a later read may no longer return; returning one is a violation.
 */

/** Bytes of a sector: what a disk writes whole or not at all, and so the unit of the model. */
export const SECTOR_BYTES = 512;

/** Values of a sector from which on old ones are forgotten. */
const PRUNE_FROM = 6;

/** A value that a sector has had, or may have had. */
interface Value {
  readonly stamp: number;
  /** Virtual times. `endMs` is infinite while the write may still take effect. */
  readonly beganMs: number;
  endMs: number;
  /** Reads that begin after this may not return it. */
  deadMs: number;
  /** Nothing can bring it back: what replaced it was durable when it did, or has become so. */
  buried: boolean;
}

/** Finds the first thing that is wrong; the text names the sector and the values. */
export class SectorModel {
  readonly #sectors: Value[][];
  #violation: string | null = null;
  #volatileLostMs = Number.NEGATIVE_INFINITY;
  /** When the oldest operation under way began: no read can return what was dead and buried before. */
  oldestOperationMs = Number.NEGATIVE_INFINITY;

  constructor(sectorCount: number) {
    this.#sectors = Array.from({ length: sectorCount }, () => [
      { stamp: 0, beganMs: Number.NEGATIVE_INFINITY, endMs: Number.NEGATIVE_INFINITY, deadMs: Number.POSITIVE_INFINITY, buried: false },
    ]);
  }

  /** The first violation, or null. */
  get violation(): string | null {
    return this.#violation;
  }

  /** A write (or discard: stamp 0) of these sectors begins. */
  writeBegins(firstSector: number, sectorCount: number, stamp: number, nowMs: number): void {
    for (let sector = firstSector; sector < firstSector + sectorCount; sector++) {
      (this.#sectors[sector] as Value[]).push({
        stamp,
        beganMs: nowMs,
        endMs: Number.POSITIVE_INFINITY,
        deadMs: Number.POSITIVE_INFINITY,
        buried: false,
      });
    }
  }

  /** It was acknowledged: what ended before it began is overwritten. `durable`: it was a FUA write. */
  writeEnds(firstSector: number, sectorCount: number, stamp: number, beganMs: number, nowMs: number, durable: boolean): void {
    if (!durable && beganMs <= this.#volatileLostMs) {
      // It may have been answered before everybody lost power, and heard of after.
      this.writeFails(firstSector, sectorCount, stamp, beganMs, nowMs);
      return;
    }
    for (let sector = firstSector; sector < firstSector + sectorCount; sector++) {
      const values = this.#sectors[sector] as Value[];
      const own = values.find((value) => value.stamp === stamp && value.beganMs === beganMs);
      if (own === undefined) continue;
      if (stamp !== 0 && own.deadMs < nowMs && own.endMs !== Number.POSITIVE_INFINITY) {
        this.#report(sector, `write ${stamp} was acknowledged after a read had shown that it did not happen`);
      }
      own.endMs = nowMs;
      for (const value of values) {
        if (value === own || value.endMs >= own.beganMs) continue;
        value.deadMs = Math.min(value.deadMs, nowMs);
        if (durable) value.buried = true;
      }
      this.#prune(sector);
    }
  }

  /** It failed, or its client is gone: it has happened by now or never will. */
  writeFails(firstSector: number, sectorCount: number, stamp: number, beganMs: number, nowMs: number): void {
    for (let sector = firstSector; sector < firstSector + sectorCount; sector++) {
      const own = (this.#sectors[sector] as Value[]).find((value) => value.stamp === stamp && value.beganMs === beganMs);
      if (own !== undefined && own.endMs === Number.POSITIVE_INFINITY) own.endMs = nowMs;
    }
  }

  /** A flush that began at `beganMs` was acknowledged: what was overwritten before it began stays so (I1). */
  flushEnds(beganMs: number): void {
    if (beganMs <= this.#volatileLostMs) return;
    for (let sector = 0; sector < this.#sectors.length; sector++) {
      for (const value of this.#sectors[sector] as Value[]) if (value.deadMs <= beganMs) value.buried = true;
      this.#prune(sector);
    }
  }

  /** A read returned `stamp`. */
  read(sector: number, stamp: number, beganMs: number, nowMs: number): void {
    // It may have been answered before everybody lost power: it says nothing about what is there now.
    if (beganMs <= this.#volatileLostMs) return;
    const values = this.#sectors[sector] as Value[];
    const seen = values.filter((value) => value.stamp === stamp && value.beganMs <= nowMs);
    const alive = seen.findLast((value) => value.deadMs >= beganMs);
    if (alive === undefined) {
      const allowed = values.filter((value) => value.deadMs >= beganMs && value.beganMs <= nowMs).map((value) => value.stamp);
      this.#report(
        sector,
        `a read returned ${stamp}, which ${seen.length > 0 ? 'was overwritten' : 'was never written or is long gone'}; possible: ${allowed.join(', ')}`,
      );
      return;
    }
    for (const value of values) {
      // What had ended before this read began, and was not seen, comes before what was seen, or never happened.
      if (value !== alive && value.endMs < beganMs) value.deadMs = Math.min(value.deadMs, nowMs);
    }
    // What was seen replaced everything that had ended before it began.
    for (const value of values) if (value !== alive && value.endMs < alive.beganMs) value.deadMs = Math.min(value.deadMs, nowMs);
  }

  /** Nobody kept what was not flushed: every value that was not buried may be there again, and only those. */
  volatileLost(nowMs: number): void {
    this.#volatileLostMs = nowMs;
    for (const values of this.#sectors) {
      for (const value of values) {
        if (value.buried) continue;
        value.deadMs = Number.POSITIVE_INFINITY;
        if (value.endMs === Number.POSITIVE_INFINITY) value.endMs = nowMs;
      }
    }
  }

  /** Stamps that a sector may hold now. */
  possible(sector: number): readonly number[] {
    return (this.#sectors[sector] as Value[]).filter((value) => value.deadMs === Number.POSITIVE_INFINITY).map((value) => value.stamp);
  }

  /** Forgets what no read that is under way can return any more. */
  #prune(sector: number): void {
    const values = this.#sectors[sector] as Value[];
    if (values.length < PRUNE_FROM) return;
    this.#sectors[sector] = values.filter((value) => !(value.buried && value.deadMs < this.oldestOperationMs));
  }

  #report(sector: number, what: string): void {
    this.#violation ??= `sector ${sector}: ${what}`;
  }
}
