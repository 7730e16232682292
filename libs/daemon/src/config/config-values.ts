import { errorMessage, formatSize, isUuid, parseDuration, parseSize } from '@rmr/runtime';
import { parseSocketAddress } from '@rmr/runtime/node';
import { z } from 'zod';

/** The longest name of a node, pool, member or export, in bytes of UTF-8. It fits the fixed fields of disk and wire formats. */
export const NAME_BYTES_MAX = 63;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

interface SizeBounds {
  readonly bytesMin?: number;
  readonly bytesMax?: number;
  readonly powerOfTwo?: boolean;
}

interface DurationBounds {
  readonly millisecondsMin?: number;
  readonly millisecondsMax?: number;
}

/** A size such as `10GiB` or a number of bytes. Its value is an integer in bytes. */
export function sizeValue(bounds: SizeBounds = {}) {
  const { bytesMin = 0, bytesMax = Number.MAX_SAFE_INTEGER, powerOfTwo = false } = bounds;
  return z
    .union([z.string(), z.number()], { error: (issue) => `${quote(issue.input)} is not a size; write for example 128KiB or 10GiB` })
    .transform((value, context) => {
      const bytes = parsed(context, () => parseSize(String(value)));
      if (bytes === null) return z.NEVER;
      if (bytes < bytesMin || bytes > bytesMax) {
        const range =
          bytesMax === Number.MAX_SAFE_INTEGER ? `at least ${formatSize(bytesMin)}` : `${formatSize(bytesMin)} to ${formatSize(bytesMax)}`;
        context.addIssue({ code: 'custom', message: `${quote(value)} is out of range; write a size of ${range}` });
        return z.NEVER;
      }
      if (powerOfTwo && !Number.isInteger(Math.log2(bytes))) {
        context.addIssue({ code: 'custom', message: `${quote(value)} is not a power of two; write for example 128KiB` });
        return z.NEVER;
      }
      return bytes;
    })
    .meta({ value: sizeText(bounds) });
}

function sizeText({ bytesMin = 0, bytesMax = Number.MAX_SAFE_INTEGER, powerOfTwo = false }: SizeBounds): string {
  const range = [
    bytesMin > 0 ? `at least ${formatSize(bytesMin)}` : '',
    bytesMax < Number.MAX_SAFE_INTEGER ? `at most ${formatSize(bytesMax)}` : '',
  ];
  return ['size', ...range, powerOfTwo ? 'a power of two' : ''].filter((part) => part !== '').join(', ');
}

/** A duration as it is written in a configuration: `5s`. */
export function durationText(milliseconds: number): string {
  const [unit, name] = (
    [
      [3_600_000, 'h'],
      [60_000, 'm'],
      [1000, 's'],
    ] as const
  ).find(([each]) => milliseconds >= each && milliseconds % each === 0) ?? [1, 'ms'];
  return milliseconds === 0 ? '0s' : `${milliseconds / unit}${name}`;
}

function durationRange({ millisecondsMin = 0, millisecondsMax = Number.MAX_SAFE_INTEGER }: DurationBounds): string {
  const range = [
    millisecondsMin > 0 ? `at least ${durationText(millisecondsMin)}` : '',
    millisecondsMax < Number.MAX_SAFE_INTEGER ? `at most ${durationText(millisecondsMax)}` : '',
  ];
  return ['duration', ...range].filter((part) => part !== '').join(', ');
}

/** A duration such as `5s`. Its value is an integer in milliseconds. */
export function durationValue(bounds: DurationBounds = {}) {
  const { millisecondsMin = 0, millisecondsMax = Number.MAX_SAFE_INTEGER } = bounds;
  return z
    .string({ error: (issue) => `${quote(issue.input)} is not a duration; write for example 250ms, 5s, 2m` })
    .transform((value, context) => {
      const milliseconds = parsed(context, () => parseDuration(value));
      if (milliseconds === null) return z.NEVER;
      if (milliseconds < millisecondsMin || milliseconds > millisecondsMax) {
        const range =
          millisecondsMax === Number.MAX_SAFE_INTEGER ? `at least ${millisecondsMin}ms` : `${millisecondsMin}ms to ${millisecondsMax}ms`;
        context.addIssue({ code: 'custom', message: `${quote(value)} is out of range; write a duration of ${range}` });
        return z.NEVER;
      }
      return milliseconds;
    })
    .meta({ value: durationRange(bounds) });
}

/** A duration, or `never`. Its value is an integer in milliseconds, or null for `never`. */
export function timeoutValue(bounds: DurationBounds = {}) {
  const duration = durationValue(bounds);
  return z
    .string({ error: (issue) => `${quote(issue.input)} is not a duration; write for example 30s, or never` })
    .transform((value, context) => {
      if (value === 'never') return null;
      const result = duration.safeParse(value);
      if (result.success) return result.data;
      context.addIssue({ code: 'custom', message: `${result.error.issues[0]?.message}, or never` });
      return z.NEVER;
    })
    .meta({ value: `${durationRange(bounds)}; or \`never\`` });
}

/** A socket address, `tcp://HOST:PORT` or `unix:/PATH`. */
export function socketAddressValue() {
  return z
    .string({ error: (issue) => `${quote(issue.input)} is not an address; write tcp://HOST:PORT or unix:/PATH` })
    .refine((value) => parseSocketAddress(value) !== null, {
      error: (issue) => `${quote(issue.input)} is not an address; write tcp://HOST:PORT or unix:/PATH (a path of at most 107 bytes)`,
    })
    .meta({ value: '`tcp://HOST:PORT` or `unix:/PATH`' });
}

/** A list of distinct socket addresses, at least one. */
export function socketAddressListValue() {
  return z
    .array(socketAddressValue())
    .min(1, 'is empty; write at least one address')
    .refine((list) => new Set(list).size === list.length, 'names an address twice; write each once');
}

/** Routes: for an address, the one to connect to instead, as in `{ "tcp://10.0.0.5:4810": "unix:/run/tunnel" }`. Its value is a map. */
export function routesValue() {
  return z
    .record(socketAddressValue(), socketAddressValue())
    .transform((routes) => new Map(Object.entries(routes)) as ReadonlyMap<string, string>)
    .meta({ value: 'address: address, any number' });
}

/** The address of an admin interface: `tcp://HOST:PORT`, or `http://HOST:PORT`, which means the same. Port 0 takes a free one. */
export function adminAddressValue() {
  return z
    .string({ error: (issue) => `${quote(issue.input)} is not the address of an admin interface; write tcp://HOST:PORT` })
    .refine((value) => parseAdminAddress(value) !== null, {
      error: (issue) => `${quote(issue.input)} is not the address of an admin interface; write tcp://HOST:PORT`,
    })
    .meta({ value: '`tcp://HOST:PORT`' });
}

/** Host and port of `tcp://HOST:PORT` or `http://HOST:PORT` (IPv6 in brackets), or null when `address` is something else. */
export function parseAdminAddress(address: string): { readonly host: string; readonly port: number } | null {
  const match = /^(?:tcp|http):\/\/(.*)$/.exec(address);
  const target = match === null ? null : parseSocketAddress(`tcp://${(match[1] as string).replace(/\/$/, '')}`);
  return target !== null && 'host' in target ? target : null;
}

/** An address that a daemon listens on, and the key that names it. */
export interface ListenKey {
  readonly path: readonly (string | number)[];
  readonly address: string;
}

/** Addresses that stand for every address of the host, followed by the names of its loopback. */
const EVERYWHERE: ReadonlySet<string> = new Set(['0.0.0.0', '::']);
const LOOPBACK_NAMES: Readonly<Record<string, string>> = { localhost: '127.0.0.1' };

/** Refuses addresses that a daemon would listen on twice. Else the second attempt would fail, and its error would blame another process. */
export function refuseSharedAddresses(keys: readonly ListenKey[], context: z.core.$RefinementCtx): void {
  for (const [index, key] of keys.entries()) {
    const other = keys.slice(0, index).find((each) => meet(each.address, key.address));
    if (other === undefined) continue;
    context.addIssue({
      code: 'custom',
      path: [...key.path],
      message: `${quote(key.address)} is listened on for ${keyText(other.path)} (${other.address}) already; choose another port for one of the two`,
    });
  }
}

/** Whether two listeners can't both have their addresses. */
function meet(one: string, other: string): boolean {
  const [a, b] = [one, other].map((address) => parseSocketAddress(address.replace(/^http:/, 'tcp:').replace(/\/$/, '')));
  if (a === null || a === undefined || b === null || b === undefined) return false;
  if ('path' in a || 'path' in b) return 'path' in a && 'path' in b && a.path === b.path;
  const [hostA, hostB] = [a, b].map(({ host }) => LOOPBACK_NAMES[host] ?? host) as [string, string];
  return a.port === b.port && a.port !== 0 && (hostA === hostB || EVERYWHERE.has(hostA) || EVERYWHERE.has(hostB));
}

/** A key as messages name it: `pools[0].members`. */
export function keyText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : text === '' ? String(part) : `.${String(part)}`;
  return text;
}

/**
 * Advice for a YAML error that an IPv6 address caused: inside of [ ] and { }, YAML takes the brackets of the address for a list. Null: the
 * text has no IPv6 address, or has it in quotes.
 */
export function ipv6Hint(text: string): string | null {
  const match = /(?<!["'\w])(?:tcp|http):\/\/\[[^\]\s"']*\](?::\d+)?/.exec(text);
  return match === null ? null : `an IPv6 address needs quotes inside of [ ] and { }: write "${match[0]}"`;
}

/** A UUID; its value is in lower case. */
export function uuidValue() {
  return z
    .string({ error: (issue) => `${quote(issue.input)} is not a UUID` })
    .transform((value) => value.toLowerCase())
    .refine(isUuid, { error: (issue) => `${quote(issue.input)} is not a UUID; write 8-4-4-4-12 hexadecimal digits, as uuidgen prints` })
    .meta({ value: 'UUID' });
}

/** A name of a node, pool, member or export. */
export function nameValue() {
  return z
    .string({ error: (issue) => `${quote(issue.input)} is not a name; write a string` })
    .refine((value) => NAME.test(value) && value.length <= NAME_BYTES_MAX, {
      error: (issue) =>
        `${quote(issue.input)} is not a name; write 1 to ${NAME_BYTES_MAX} letters, digits, ".", "_" or "-", beginning with a letter or digit`,
    })
    .meta({ value: `name: 1 to ${NAME_BYTES_MAX} letters, digits, \`.\`, \`_\`, \`-\`` });
}

/** An absolute path of this host. */
export function pathValue() {
  return z
    .string({ error: (issue) => `${quote(issue.input)} is not a path; write a string` })
    .refine((value) => value.startsWith('/') && !value.includes('\0'), {
      error: (issue) => `${quote(issue.input)} is not an absolute path; write it from the root, for example /var/lib/rmr`,
    })
    .meta({ value: 'absolute path' });
}

/** A value for messages, as a person wrote it, shortened. */
export function quote(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function parsed(context: z.core.$RefinementCtx, parse: () => number): number | null {
  try {
    return parse();
  } catch (error) {
    context.addIssue({ code: 'custom', message: errorMessage(error) });
    return null;
  }
}

/** Which users may connect to the unix sockets of a daemon; see {@link SocketAccess}. The value of `mode` is a number. */
export function socketAccessValue() {
  return z.strictObject({
    mode: z
      .string({ error: (issue) => `${quote(issue.input)} is not a mode; write it in quotes, for example "0660"` })
      .regex(/^0?[0-7]{3}$/, { error: (issue) => `${quote(issue.input)} is not a mode; write three octal digits, for example "0660"` })
      .transform((text) => Number.parseInt(text, 8))
      .optional()
      .describe('permissions of unix sockets, for example "0660"; a user needs the permission to write to connect'),
    owner: principalValue('user').optional().describe('user that unix sockets are given to, by name or number'),
    group: principalValue('group').optional().describe('group that unix sockets are given to, by name or number'),
  });
}

function principalValue(kind: 'user' | 'group') {
  return z
    .union([z.string(), z.int().min(0)], { error: (issue) => `${quote(issue.input)} is not a ${kind}; write its name or its number` })
    .transform(String)
    .refine((name) => /^[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?$/.test(name) && name.length <= NAME_BYTES_MAX, {
      error: (issue) => `${quote(issue.input)} is not the name of a ${kind}`,
    });
}
