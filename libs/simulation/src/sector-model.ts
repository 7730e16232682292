/** Finds the first thing that is wrong; the text names the sector and the values. */
export class SectorModel {
  readonly #sectors: Sector[];
  #violation: string | null = null;
  /** When the oldest operation under way began: no read can return what was dead and buried before. */
  oldestOperationMs = Number.NEGATIVE_INFINITY;

  constructor(sectorCount: number) {
    this.#sectors = Array.from({ length: sectorCount }, () => ({
      values: [newValue(0, LONG_AGO_MS, LONG_AGO_MS)],
      written: new Set([0]),
      volatileLostMs: Number.NEGATIVE_INFINITY,
      flushFailedMs: Number.NEGATIVE_INFINITY,
    }));
  }

  /** The first violation, or null. */
  get violation(): string | null {
    return this.#violation;
  }

  /** A write (or discard: stamp 0) of these sectors begins. */
  writeBegins(firstSector: number, sectorCount: number, stamp: number, nowMs: number): void {
    for (let at = firstSector; at < firstSector + sectorCount; at++) {
      const { values, written } = this.#sectors[at] as Sector;
      values.push(newValue(stamp, nowMs, Number.POSITIVE_INFINITY));
      written.add(stamp);
    }
  }

  /** It was acknowledged: what ended before it began is overwritten. `durable`: it was a FUA write. */
  writeEnds(firstSector: number, sectorCount: number, stamp: number, beganMs: number, nowMs: number, durable: boolean): void {
    for (let at = firstSector; at < firstSector + sectorCount; at++) {
      const sector = this.#sectors[at] as Sector;
      const own = sector.values.find((value) => value.stamp === stamp && value.beganMs === beganMs);
      if (own === undefined) continue;
      if (!durable && beganMs <= sector.volatileLostMs) {
        // It may have been answered before everybody lost power, and heard of after.
        if (own.endMs === Number.POSITIVE_INFINITY) own.endMs = nowMs;
        continue;
      }
      if (stamp !== 0 && own.deadMs < nowMs && own.endMs !== Number.POSITIVE_INFINITY) {
        this.#report(at, `I2: write ${stamp} was acknowledged after a read had shown that it did not happen`);
      }
      own.endMs = nowMs;
      for (const value of sector.values) {
        if (value === own || value.endMs >= own.beganMs) continue;
        kill(sector, value, own, nowMs);
        if (durable) value.buried = true;
      }
      this.#prune(sector);
    }
  }

  /** It failed, or its client is gone: it has happened by now or never will. */
  writeFails(firstSector: number, sectorCount: number, stamp: number, beganMs: number, nowMs: number): void {
    for (let at = firstSector; at < firstSector + sectorCount; at++) {
      const own = (this.#sectors[at] as Sector).values.find((value) => value.stamp === stamp && value.beganMs === beganMs);
      if (own !== undefined && own.endMs === Number.POSITIVE_INFINITY) own.endMs = nowMs;
    }
  }

  /**
   * It was dropped before it began (W9): it has not happened, and never will. Of one that writes zeroes that can't be told: a read may have
   * taken zeroes that were there before for its own, so it counts as one that has failed.
   */
  writeDropped(firstSector: number, sectorCount: number, stamp: number, beganMs: number, nowMs: number): void {
    if (stamp === 0) {
      this.writeFails(firstSector, sectorCount, stamp, beganMs, nowMs);
      return;
    }
    for (let at = firstSector; at < firstSector + sectorCount; at++) {
      const sector = this.#sectors[at] as Sector;
      const dropped = sector.values.find(
        (value) => value.stamp === stamp && value.beganMs === beganMs && value.endMs === Number.POSITIVE_INFINITY,
      );
      if (dropped === undefined) continue;
      sector.values = sector.values.filter((value) => value !== dropped);
      sector.written.delete(stamp);
    }
  }

  /** A flush that began at `beganMs` was acknowledged: what was overwritten before it began stays so (I1). */
  flushEnds(beganMs: number): void {
    for (const sector of this.#sectors) {
      if (beganMs <= sector.volatileLostMs) continue;
      for (const value of sector.values) if (value.replacedMs <= beganMs) value.buried = true;
      this.#prune(sector);
    }
  }

  /**
   * A flush or FUA write was answered with an error: the caller knows that what was not durable may never be. Only what is
   * written from now on can become durable for certain.
   */
  flushFails(nowMs: number): void {
    for (const sector of this.#sectors) {
      sector.flushFailedMs = nowMs;
      for (const value of sector.values) value.replacedMs = Number.POSITIVE_INFINITY;
    }
  }

  /** A read returned `stamp`. */
  read(at: number, stamp: number, beganMs: number, nowMs: number): void {
    const sector = this.#sectors[at] as Sector;
    const { values, volatileLostMs } = sector;
    // It may have been answered before everybody lost power: it says nothing about what is there now.
    if (beganMs <= volatileLostMs) return;
    // Several may have brought zeroes: which of them was seen can't be told, so the one that says least counts, the oldest.
    let alive: Value | null = null;
    for (const value of values) {
      const isSeen = value.stamp === stamp && value.beganMs <= nowMs && value.deadMs >= beganMs;
      if (isSeen && (alive === null || value.beganMs < alive.beganMs)) alive = value;
    }
    if (alive === null && sector.written.has(stamp) && values.some((value) => Number.isNaN(value.stamp) && value.deadMs >= beganMs)) {
      // From now on it is known which one it is.
      alive = newValue(stamp, LONG_AGO_MS, LONG_AGO_MS);
      values.push(alive);
    }
    if (alive === null) {
      const overwritten = values.some((value) => value.stamp === stamp && value.beganMs <= nowMs);
      const allowed = values.filter((value) => value.deadMs >= beganMs && value.beganMs <= nowMs).map((value) => value.stamp);
      this.#report(
        at,
        `I1, I2 or I4: a read returned ${stamp}, which ${overwritten ? 'was overwritten' : 'was never written or is long gone'}; possible: ${allowed.join(', ')}`,
      );
      return;
    }
    for (const value of values) {
      // What had ended before this read began, and was not seen, comes before what was seen, or never happened.
      if (value.stamp !== stamp && value.endMs < beganMs) kill(sector, value, alive, nowMs);
    }
    // What was seen replaced everything that had ended before it began.
    for (const value of values) if (value.stamp !== stamp && value.endMs < alive.beganMs) kill(sector, value, alive, nowMs);
  }

  /** Whether a read that begins now may return `stamp`. */
  mayRead(at: number, stamp: number, nowMs: number): boolean {
    const { values, written } = this.#sectors[at] as Sector;
    return values.some((value) => value.deadMs >= nowMs && (value.stamp === stamp || (Number.isNaN(value.stamp) && written.has(stamp))));
  }

  /** Nobody kept what was not flushed of these sectors: every value that was not buried may be there again, and only those. */
  volatileLost(firstSector: number, sectorCount: number, nowMs: number): void {
    for (let at = firstSector; at < firstSector + sectorCount; at++) {
      const sector = this.#sectors[at] as Sector;
      sector.volatileLostMs = nowMs;
      for (const value of sector.values) {
        if (value.buried) continue;
        value.deadMs = Number.POSITIVE_INFINITY;
        value.replacedMs = Number.POSITIVE_INFINITY;
        if (value.endMs === Number.POSITIVE_INFINITY) value.endMs = nowMs;
      }
    }
  }

  /**
   * The pool was forced into service without any member that holds the last version. Every sector may have any value that it ever had.
   * The first read says which one, and from then on it stays. A write that is under way may still take effect.
   */
  forget(): void {
    for (const sector of this.#sectors) {
      const underWay = sector.values.filter((value) => value.endMs === Number.POSITIVE_INFINITY);
      sector.values = [newValue(ANY, LONG_AGO_MS, LONG_AGO_MS), ...underWay];
    }
  }

  /** What the sector may hold after a power loss of everybody now: what nothing durable has replaced. */
  afterPowerLoss(at: number): readonly number[] {
    return (this.#sectors[at] as Sector).values.filter((value) => !value.buried).map((value) => value.stamp);
  }

  /** Whether the sector may hold `stamp` after a power loss of everybody now: after a force that may be whatever it ever held. */
  mayHoldAfterPowerLoss(at: number, stamp: number): boolean {
    const { values, written } = this.#sectors[at] as Sector;
    return values.some((value) => !value.buried && (value.stamp === stamp || (Number.isNaN(value.stamp) && written.has(stamp))));
  }

  /** Forgets what no read that is under way can return any more. */
  #prune(sector: Sector): void {
    if (sector.values.length < PRUNE_FROM) return;
    sector.values = sector.values.filter((value) => !(value.buried && value.deadMs < this.oldestOperationMs));
  }

  #report(sector: number, what: string): void {
    this.#violation ??= `sector ${sector}: ${what}`;
  }
}

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

/** The stamp of a value that may be any that the sector ever had. */
const ANY = Number.NaN;

/** When sectors got their first value: before everything, and after nothing. */
const LONG_AGO_MS = -Number.MAX_VALUE;

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
  /** When it was dead by a write that the next flush makes durable for certain: infinite until then. */
  replacedMs: number;
}

/** One sector: its values, and what has befallen it. */
interface Sector {
  values: Value[];
  /** Stamps of everything that was ever written to it. */
  readonly written: Set<number>;
  /** When power took what was not flushed, the last time: what was answered before proves nothing after. */
  volatileLostMs: number;
  /** When a flush failed, the last time: what was not durable by then need not be after a later flush either. */
  flushFailedMs: number;
}

function newValue(stamp: number, beganMs: number, endMs: number): Value {
  return { stamp, beganMs, endMs, deadMs: Number.POSITIVE_INFINITY, buried: false, replacedMs: Number.POSITIVE_INFINITY };
}

/** From `nowMs` on nobody may return `value`, as `killer` has replaced it. */
function kill(sector: Sector, value: Value, killer: Value, nowMs: number): void {
  value.deadMs = Math.min(value.deadMs, nowMs);
  if (killer.beganMs > sector.flushFailedMs) value.replacedMs = Math.min(value.replacedMs, nowMs);
}
