import { formatSize } from '@rmr/runtime';
import type { ResyncStatus } from './sync-status.ts';

/** Resync in a few words: `12 MiB left, 30 MiB/s, about 5 s, from storage-1`. The text is empty when nothing is left to pull. */
export function describeResync(sync: ResyncStatus): string {
  if (sync.bytesLeft === 0) return '';
  const left = `${formatSize(sync.bytesLeft)} left`;
  if (sync.reason !== '') return `${left}, stands still: ${sync.reason}`;
  const from = sync.sources.length === 0 ? '' : `, from ${sync.sources.map((source) => source.name).join(' and ')}`;
  if (sync.etaSeconds === null) return `${left}, at a rate that is not known yet${from}`;
  return `${left}, ${formatSize(sync.bytesPerSecond)}/s, about ${formatSeconds(sync.etaSeconds)}${from}`;
}

/** `90 s`, `12 min`, `3 h`. */
function formatSeconds(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
