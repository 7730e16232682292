import { OperationError } from './errors.ts';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, B: 1, KIB, MIB, GIB, TIB, K: KIB, M: MIB, G: GIB, T: TIB };
const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Bytes in a size such as `10GiB`, `512K` or `4096`; units are binary. Throws INVALID_ARGUMENT. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  const unit = match ? SIZE_UNITS[(match[2] as string).toUpperCase()] : undefined;
  const bytes = match && unit !== undefined ? Number(match[1]) * unit : Number.NaN;
  if (!Number.isSafeInteger(bytes)) {
    throw new OperationError(
      'INVALID_ARGUMENT',
      `"${text}" is not a size; write a whole number of bytes or for example 128KiB, 10GiB, 1.5TiB`,
    );
  }
  return bytes;
}

/** Milliseconds in a duration such as `5s`, `250ms`, `2m`. Throws INVALID_ARGUMENT. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text.trim());
  const milliseconds = match ? Math.round(Number(match[1]) * (DURATION_UNITS[match[2] as string] as number)) : Number.NaN;
  if (!Number.isSafeInteger(milliseconds)) {
    throw new OperationError('INVALID_ARGUMENT', `"${text}" is not a duration; write for example 250ms, 5s, 2m`);
  }
  return milliseconds;
}

/** A size for people: the largest binary unit that leaves at most one decimal. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether `text` is a UUID in lower-case text form. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** Writes a UUID in text form as 16 bytes at `offset`. */
export function encodeUuid(text: string, bytes: Uint8Array, offset: number): void {
  const hex = text.replaceAll('-', '');
  for (let i = 0; i < 16; i++) bytes[offset + i] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16);
}

/** The text form of the 16 bytes at `offset`. */
export function decodeUuid(bytes: Uint8Array, offset: number): string {
  let hex = '';
  for (let i = 0; i < 16; i++) hex += (bytes[offset + i] as number).toString(16).padStart(2, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A time of the wall clock for people, in UTC: `2026-11-30 14:05:00Z`. */
export function formatTime(wallMs: number): string {
  // biome-ignore lint/style/noRestrictedGlobals: it puts a given time into words and asks no clock
  return `${new Date(wallMs).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}
