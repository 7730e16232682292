/** Sizes, times and counts for people. */

import { spanText } from '@rmr/cluster-view';
import { formatSize } from '@rmr/runtime';

/** `1.5 GiB`; `?` where nobody knows. */
export function sizeText(bytes: number | null): string {
  if (bytes === null) return '?';
  // Three digits: from 100 of a unit, decimals say nothing.
  return formatSize(bytes).replace(/^(\d{3,})\.\d /, '$1 ');
}

const DAY_MS = 86_400_000;

/** A moment, as ISO 8601: `since 02:47 (25 min)`. Empty for a time that is not known. */
export function sinceText(iso: string | null, nowMs: number): string {
  if (iso === null || Number.isNaN(Date.parse(iso))) return '';
  const ageMs = Math.max(0, nowMs - Date.parse(iso));
  return `since ${clockText(iso, ageMs >= DAY_MS)} (${spanText(ageMs / 1000)})`;
}

/** `02:47`, or with its date `2026-12-01 02:47`, in the time zone of this host. */
export function clockText(iso: string, withDate: boolean): string {
  const at = new Date(iso);
  const two = (number: number): string => String(number).padStart(2, '0');
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}`;
  return withDate ? `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}` : clock;
}

/** `1 copy`, `2 copies`. */
export function countText(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
