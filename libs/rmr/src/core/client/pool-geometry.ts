import { formatSize } from '@rmr/runtime';
import type { ProbeResult } from '../../wire/control-message.ts';
import type { Leg } from './legs/leg.ts';
import type { Assembled } from './recovery/recovery.ts';

/** Whether the stores of two legs, which were probed, have the same size and chunk size. */
export function sameGeometry(a: Leg, b: Leg): boolean {
  const first = (a.probe as ProbeResult).identity;
  const second = (b.probe as ProbeResult).identity;
  return first.sizeBytes === second.sizeBytes && first.chunkSizeBytes === second.chunkSizeBytes;
}

interface Geometry {
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
}

/** `10 GiB (10737418240 bytes) in chunks of 128 KiB`: sizes that differ by a sector look the same otherwise. */
export function geometryText({ sizeBytes, chunkSizeBytes }: Geometry): string {
  return `${formatSize(sizeBytes)} (${sizeBytes} bytes) in chunks of ${formatSize(chunkSizeBytes)}`;
}

/** `member 1 (storage-1) has a store for a device of 10 GiB (10737418240 bytes) in chunks of 128 KiB`, for people. The leg was probed. */
export function describeGeometry(leg: Leg): string {
  return `${leg.describe()} has a store for a device of ${geometryText((leg.probe as ProbeResult).identity)}`;
}

/** Size and features of a pool: a feature is one if every store has it. */
export function geometryOf(legs: readonly Leg[]): Assembled['geometry'] {
  const probes = legs.map((leg) => leg.probe as ProbeResult);
  const { sizeBytes, chunkSizeBytes } = (probes[0] as ProbeResult).identity;
  return {
    sizeBytes,
    chunkSizeBytes,
    fastPunch: probes.every((probe) => probe.features.fastPunch),
    fastZero: probes.every((probe) => probe.features.fastZero),
  };
}
