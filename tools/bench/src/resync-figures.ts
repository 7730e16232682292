import type { FioResult } from './fio.ts';
import { type RatioWithSpread, ratioOfMedians } from './statistics.ts';

/** What a member that returns said at a moment, of `sync` in its status. */
export interface ResyncSample {
  readonly atMs: number;
  readonly bytesLeft: number;
  readonly pulledBytes: number;
}

/** A resync from its beginning to its end. */
export interface ResyncRun {
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

/** Foreground IO in one round: when nothing is missing, and while a member pulls what it has missed. */
export interface ForegroundRound {
  readonly healthy: FioResult;
  readonly during: FioResult;
  /** What the member had left to pull before and after the run. */
  readonly leftBeforeBytes: number;
  readonly leftAfterBytes: number;
  /** What it pulled meanwhile. */
  readonly resyncBytesPerSecond: number;
}

/** What was measured of resync, one entry per round. */
export interface ResyncMeasurements {
  /** Bytes that the member misses in every round. */
  readonly missedBytes: number;
  readonly runs: readonly ResyncRun[];
  /** Bytes per second of nbdcopy with as many bytes; empty when it was not measured. */
  readonly copies: readonly number[];
  readonly foreground: readonly ForegroundRound[];
}

/** Whether a member that has come back has pulled all that it missed. Before it knows what that is, nothing is left either. */
export function hasEnded({ bytesLeft, pulledBytes }: Pick<ResyncSample, 'bytesLeft' | 'pulledBytes'>): boolean {
  return bytesLeft === 0 && pulledBytes > 0;
}

/**
 * The resync in samples that were taken in turn: from the last one before anything was pulled to the first one with
 * nothing left. Exact to the time between two samples at either end, so it takes many of them to measure well. Null when the
 * samples don't show a beginning and an end.
 */
export function resyncRun(samples: readonly ResyncSample[]): ResyncRun | null {
  const begin = samples.findLast((sample) => sample.pulledBytes === 0);
  const end = samples.find(hasEnded);
  if (begin === undefined || end === undefined || end.atMs <= begin.atMs) return null;
  return { bytes: end.pulledBytes, bytesPerSecond: (end.pulledBytes / (end.atMs - begin.atMs)) * 1000 };
}

/** Whether the member had something to pull, and pulled, for as long as the foreground run lasted. Else the round says nothing of resync. */
export function counts(round: Pick<ForegroundRound, 'leftBeforeBytes' | 'leftAfterBytes'>): boolean {
  return round.leftAfterBytes > 0 && round.leftAfterBytes < round.leftBeforeBytes;
}

/** Speed of resync as a part of that of nbdcopy. Null when nbdcopy was not measured. */
export function copyRatio({ runs, copies }: ResyncMeasurements): RatioWithSpread | null {
  return ratioOfMedians(
    runs.map((run) => run.bytesPerSecond),
    copies,
  );
}

/** p99 of foreground IO during resync, as a multiple of p99 when healthy. Null unless every round counts. */
export function foregroundRatio({ foreground }: ResyncMeasurements): RatioWithSpread | null {
  if (!foreground.every(counts)) return null;
  return ratioOfMedians(
    foreground.map((round) => round.during.p99Us),
    foreground.map((round) => round.healthy.p99Us),
  );
}
