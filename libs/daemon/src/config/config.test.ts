import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OperationError } from '@rmr/runtime';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { configKeys, loadConfig } from './config.ts';
import {
  adminAddressValue,
  durationValue,
  nameValue,
  parseAdminAddress,
  pathValue,
  sizeValue,
  socketAddressListValue,
  timeoutValue,
  uuidValue,
} from './config-values.ts';

const schema = z.strictObject({
  name: nameValue().describe('who this is'),
  hostUuid: uuidValue().optional(),
  stateDir: pathValue().default('/var/lib/rmr'),
  size: sizeValue({ bytesMin: 4096, powerOfTwo: true }).default(4096),
  count: z.int().min(1).max(8).default(2),
  fast: z.boolean().default(false),
  admin: z.strictObject({ listen: adminAddressValue().default('http://127.0.0.1:1') }).prefault({}),
  rtrs: z
    .strictObject({
      listen: socketAddressListValue().default(['tcp://127.0.0.1:2']),
      deadAfter: durationValue({ millisecondsMin: 300, millisecondsMax: 60_000 }).default(5000),
      ioTimeout: timeoutValue({ millisecondsMin: 1000 }).prefault('never'),
    })
    .prefault({}),
  log: z.strictObject({ level: z.enum(['debug', 'info']).default('info') }).prefault({}),
  stores: z.array(z.strictObject({ path: pathValue(), readOnly: z.boolean().default(false) })).default([]),
});

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rmr-config-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function file(text: string): string {
  const path = join(directory, 'node.yaml');
  writeFileSync(path, text);
  return path;
}

interface Sources {
  readonly text?: string;
  readonly environment?: Record<string, string | undefined>;
  readonly flags?: Record<string, string>;
}

function load({ text, environment = {}, flags = {} }: Sources): z.output<typeof schema> {
  const filePath = text === undefined ? undefined : file(text);
  return loadConfig(schema, { filePath, environment, flags: new Map(Object.entries(flags)) });
}

function refusal(sources: Sources): string {
  try {
    load(sources);
  } catch (error) {
    expect(error).toBeInstanceOf(OperationError);
    expect((error as OperationError).code).toBe('INVALID_CONFIG');
    return (error as OperationError).message.replaceAll(directory, '');
  }
  throw new Error('the configuration was accepted');
}

describe('configuration: what is accepted', () => {
  test('defaults fill in what is not given', () => {
    expect(load({ text: 'name: node-1' })).toEqual({
      name: 'node-1',
      stateDir: '/var/lib/rmr',
      size: 4096,
      count: 2,
      fast: false,
      admin: { listen: 'http://127.0.0.1:1' },
      rtrs: { listen: ['tcp://127.0.0.1:2'], deadAfter: 5000, ioTimeout: null },
      log: { level: 'info' },
      stores: [],
    });
  });

  test('JSON is read as well as YAML, sizes become bytes and durations milliseconds', () => {
    const config = load({ text: '{"name": "n", "size": "128KiB", "rtrs": {"deadAfter": "2.5s", "ioTimeout": "1m"}}' });
    expect(config.size).toBe(131_072);
    expect(config.rtrs.deadAfter).toBe(2500);
    expect(config.rtrs.ioTimeout).toBe(60_000);
  });

  test('a size may be a plain number of bytes', () => {
    expect(load({ text: 'name: n\nsize: 8192' }).size).toBe(8192);
  });

  test('the environment goes over the file, flags over the environment', () => {
    const text = 'name: file\ncount: 1\nlog: { level: debug }';
    const environment = { RMR_NAME: 'environment', RMR_COUNT: '3' };
    const config = load({ text, environment, flags: { name: 'flag' } });
    expect(config).toMatchObject({ name: 'flag', count: 3, log: { level: 'debug' } });
  });

  test('everything can be given without a file: lists with commas, booleans as words, structures as JSON', () => {
    const config = load({
      environment: {
        RMR_NAME: 'n',
        RMR_RTRS_LISTEN: 'tcp://127.0.0.1:1, unix:/run/x',
        RMR_FAST: 'true',
        RMR_STORES: '[{"path": "/dev/sdb"}]',
      },
    });
    expect(config.rtrs.listen).toEqual(['tcp://127.0.0.1:1', 'unix:/run/x']);
    expect(config.fast).toBe(true);
    expect(config.stores).toEqual([{ path: '/dev/sdb', readOnly: false }]);
  });

  test('an empty variable counts as not set, and variables of others are nobody’s business', () => {
    expect(load({ text: 'name: n', environment: { RMR_NAME: '', PATH: '/bin', RMR_CLUSTER_FILE: '/x' } }).name).toBe('n');
  });

  test('a UUID is taken in upper case and kept in lower case', () => {
    expect(load({ text: 'name: n\nhostUuid: 0B6C2C0E-43D1-4D6C-9D9A-0123456789AB' }).hostUuid).toBe('0b6c2c0e-43d1-4d6c-9d9a-0123456789ab');
  });

  test('keys tell their variable, flag, kind and meaning', () => {
    const keys = configKeys(schema);
    expect(keys.find((key) => key.key === 'rtrs.deadAfter')).toMatchObject({
      variable: 'RMR_RTRS_DEAD_AFTER',
      flag: 'rtrs-dead-after',
      kind: 'text',
    });
    expect(keys.map((key) => key.kind)).toEqual([
      'text',
      'text',
      'text',
      'text',
      'number',
      'boolean',
      'text',
      'list',
      'text',
      'text',
      'text',
      'structure',
    ]);
    expect(keys[0]?.description).toBe('who this is');
  });
});

describe('configuration: what is refused, and how', () => {
  test('a missing key is named with every way to give it', () => {
    expect(refusal({ text: 'count: 1' })).toContain('name: is missing; write it in /node.yaml, or as RMR_NAME or --name');
  });

  test('a missing key within a list is named with its place and line', () => {
    expect(refusal({ text: 'name: n\nstores:\n  - path: /a\n  - readOnly: true' })).toContain(
      'stores[1].path (/node.yaml line 4): is missing',
    );
  });

  test('an unknown key is named with its line and the likeliest right one', () => {
    expect(refusal({ text: 'name: n\nrtrs:\n  listne: [tcp://127.0.0.1:1]' })).toContain(
      'rtrs.listne (/node.yaml line 3): is no key of this configuration; did you mean listen?',
    );
  });

  test('an unknown key unlike any other lists those that exist', () => {
    expect(refusal({ text: 'name: n\nlog: { colour: red }' })).toContain('known here: level');
  });

  test('an unknown variable of our prefix is an error with a suggestion', () => {
    expect(refusal({ text: 'name: n', environment: { RMR_NAMES: 'x' } })).toContain(
      'RMR_NAMES in the environment is no key of this configuration; did you mean RMR_NAME?',
    );
  });

  test.each([
    [
      'stores: [{path: /a, readonyl: true}]',
      'stores[0].readonyl (/node.yaml line 2): is no key of this configuration; did you mean readOnly?',
    ],
    ['stores: [{path: /a, PATHS: /b}]', 'did you mean path?'],
    ['statedir: /x', 'did you mean stateDir?'],
    ['state-dir: /x', 'did you mean stateDir?'],
    ['uuid: x', 'did you mean hostUuid?'],
    ['readOnly: true', 'readOnly (/node.yaml line 2): is no key of this configuration; readOnly belongs to stores[]: move it there'],
    ['readonly: true', 'did you mean readOnly? It belongs to stores[]: move it there'],
    ['raedOnly: true', 'did you mean readOnly? It belongs to stores[]: move it there'],
    ['stores: [{path: /a, deadAfter: 5s}]', 'deadAfter belongs to rtrs: move it there'],
    ['stores: [{path: /a, hostUuid: x}]', 'hostUuid belongs to the top level: move it there'],
    ['listen: [tcp://h:1]', 'listen belongs to admin or rtrs: move it there'],
    ['rtrs.listen: [tcp://h:1]', 'did you mean listen? It belongs to admin or rtrs: move it there'],
    ['store: []', 'did you mean stores?'],
    ['stores: [{path: /a, colour: red}]', 'known here: path, readOnly'],
  ])('a key that is known elsewhere, or nearly known, is never lost: %s', (line, expected) => {
    const text = refusal({ text: `name: n\n${line}` });
    expect(text).toContain(expected);
    expect(text).not.toContain('remove it');
  });

  test.each([
    ['RMR_STATEDIR', 'did you mean RMR_STATE_DIR?'],
    ['RMR_READ_ONLY', 'did you mean readOnly of stores[] in RMR_STORES?'],
    ['RMR_LISTEN', 'did you mean RMR_ADMIN_LISTEN or RMR_RTRS_LISTEN?'],
    ['RMR_DEAD_AFTER', 'did you mean RMR_RTRS_DEAD_AFTER?'],
    ['RMR_COLOUR', 'no key resembles it; see --help for those that exist, or unset it'],
  ])('an unknown variable is told what it may have been meant to be: %s', (variable, expected) => {
    expect(refusal({ text: 'name: n', environment: { [variable]: 'x' } })).toContain(expected);
  });

  test.each([
    ['size: 10GB1', 'size (/node.yaml line 2): "10GB1" is not a size; write a whole number of bytes or for example 128KiB'],
    ['size: [1]', 'size (/node.yaml line 2): [1] is not a size; write for example 128KiB or 10GiB'],
    ['size: -4096', '"-4096" is not a size'],
    ['size: 1KiB', '"1KiB" is out of range; write a size of at least 4 KiB'],
    ['size: 5000', '5000 is not a power of two'],
    ['rtrs: { deadAfter: 5 }', 'rtrs.deadAfter (/node.yaml line 2): 5 is not a duration; write for example 250ms, 5s, 2m'],
    ['rtrs: { deadAfter: 5 days }', '"5 days" is not a duration'],
    ['rtrs: { deadAfter: 1ms }', '"1ms" is out of range; write a duration of 300ms to 60000ms'],
    ['rtrs: { ioTimeout: soon }', '"soon" is not a duration; write for example 250ms, 5s, 2m, or never'],
    ['rtrs: { listen: [] }', 'rtrs.listen (/node.yaml line 2): is empty; write at least one address'],
    [
      'rtrs: { listen: [localhost] }',
      'rtrs.listen[0] (/node.yaml line 2): "localhost" is not an address; write tcp://HOST:PORT or unix:/PATH',
    ],
    ['rtrs: { listen: ["tcp://h:99999"] }', '"tcp://h:99999" is not an address'],
    [
      `rtrs: { listen: ["unix:/${'x'.repeat(107)}"] }`,
      'is not an address; write tcp://HOST:PORT or unix:/PATH (a path of at most 107 bytes)',
    ],
    ['rtrs: { listen: ["tcp://h:1", "tcp://h:1"] }', 'names an address twice'],
    ['rtrs: { listen: tcp://h:1 }', 'rtrs.listen (/node.yaml line 2): "tcp://h:1" is of the wrong type; write a list'],
    [
      'admin: { listen: "https://h:1" }',
      'admin.listen (/node.yaml line 2): "https://h:1" is not the address of an admin interface; write tcp://HOST:PORT',
    ],
    ['log: { level: loud }', 'log.level (/node.yaml line 2): "loud" is not known; write one of debug, info'],
    ['count: 9', 'count (/node.yaml line 2): 9 is too large; write at most 8'],
    ['count: 0', '0 is too small; write at least 1'],
    ['count: 1.5', 'count (/node.yaml line 2): 1.5 is of the wrong type; write a whole number'],
    ['fast: maybe', '"maybe" is of the wrong type; write true or false'],
    ['hostUuid: 1234', '1234 is not a UUID'],
    ['hostUuid: abc', '"abc" is not a UUID; write 8-4-4-4-12'],
    ['stateDir: relative/path', '"relative/path" is not an absolute path'],
    ['log: info', 'log (/node.yaml line 2): "info" is of the wrong type; write keys and values'],
  ])('%s', (line, expected) => {
    expect(refusal({ text: `name: n\n${line}` })).toContain(expected);
  });

  test('a name that is no name is refused', () => {
    expect(refusal({ text: `name: ${'x'.repeat(64)}` })).toContain('is not a name; write 1 to 63 letters');
    expect(refusal({ text: 'name: "a b"' })).toContain('"a b" is not a name');
  });

  test('a bad value from the environment or a flag names that source', () => {
    expect(refusal({ text: 'name: n', environment: { RMR_RTRS_DEAD_AFTER: '5' } })).toContain(
      'rtrs.deadAfter (RMR_RTRS_DEAD_AFTER in the environment): "5" is not a duration',
    );
    expect(refusal({ text: 'name: n', flags: { count: 'two' } })).toContain('count (--count): "two" is not a number; write digits');
    expect(refusal({ text: 'name: n', environment: { RMR_FAST: 'yes' } })).toContain(
      'fast (RMR_FAST in the environment): "yes" is neither true nor false',
    );
    expect(refusal({ text: 'name: n', environment: { RMR_STORES: '[' } })).toContain('"[" is neither JSON nor YAML');
    expect(refusal({ text: 'name: n', environment: { RMR_STORES: '[{"path": "x"}]' } })).toContain(
      'stores[0].path (RMR_STORES in the environment): "x" is not an absolute path',
    );
  });

  test('every problem is told at once, one per line', () => {
    const lines = refusal({ text: 'size: x\ncount: 0\nwhat: 1' }).split('\n');
    expect(lines).toHaveLength(5);
    expect(lines[0]).toContain('the configuration /node.yaml is not usable:');
  });

  test.each([
    ['a: [1', 'line 1, column'],
    ['a: 1\na: 2', 'line 2, column 1: Map keys must be unique'],
    ['- a', 'does not hold a configuration'],
    ['just text', 'does not hold a configuration'],
    ['a: &x [*x]', ''],
  ])('a file that is not YAML keys and values is refused: %j', (text, expected) => {
    expect(refusal({ text })).toContain(expected);
  });

  test('aliases that multiply without bound are refused', () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) =>
        `l${i}: &l${i} [${Array(10)
          .fill(i === 0 ? 'x' : `*l${i - 1}`)
          .join(', ')}]`,
    );
    expect(refusal({ text: levels.join('\n') })).toContain('alias');
  });

  test('a file that does not exist, is a directory or is far too large is refused', () => {
    const at = (filePath: string) => () => loadConfig(schema, { filePath, environment: {}, flags: new Map() });
    expect(at(join(directory, 'none.yaml'))).toThrow(/cannot read the configuration .*ENOENT/);
    expect(at(directory)).toThrow(/is no configuration file/);
    expect(at(file('x'.repeat(1024 * 1024 + 1)))).toThrow(/is no configuration file/);
  });

  test('a key called __proto__ is an unknown key and changes no prototype', () => {
    expect(refusal({ text: 'name: n\n__proto__: { fast: true }' })).toContain('__proto__');
    expect(({} as { fast?: boolean }).fast).toBeUndefined();
  });
});

describe('IPv6 addresses in YAML', () => {
  test.each([
    ['rtrs: { listen: [tcp://[::1]:4810] }', 'tcp://[::1]:4810'],
    ['rtrs:\n  listen: [tcp://10.0.0.1:4810, tcp://[fd00::1]:4810]', 'tcp://[fd00::1]:4810'],
    ['admin: {listen: http://[::1]:4811}', 'http://[::1]:4811'],
    ['admin: {listen: tcp://[fe80::1%eth0]:4811}', 'tcp://[fe80::1%eth0]:4811'],
  ])('without quotes in brackets: %s is refused with what to write', (text, address) => {
    expect(refusal({ text: `name: n\n${text}` })).toContain(`an IPv6 address needs quotes inside of [ ] and { }: write "${address}"`);
  });

  test('the same in a variable that holds YAML', () => {
    expect(refusal({ text: 'name: n', environment: { RMR_STORES: '[{path: tcp://[::1]:1}]' } })).toContain('write "tcp://[::1]:1"');
  });

  test('with quotes, or on a line of its own, is accepted', () => {
    expect(load({ text: 'name: n\nrtrs: { listen: ["tcp://[::1]:4810"] }' }).rtrs.listen).toEqual(['tcp://[::1]:4810']);
    expect(load({ text: 'name: n\nrtrs:\n  listen:\n    - tcp://[::1]:4810' }).rtrs.listen).toEqual(['tcp://[::1]:4810']);
  });

  test('other mistakes get no advice on quotes', () => {
    expect(refusal({ text: 'name: [' })).not.toContain('IPv6');
    expect(refusal({ text: 'rtrs: { listen: ["tcp://[::1]:4810"' })).not.toContain('IPv6');
  });
});

describe('admin addresses', () => {
  test.each([
    ['http://127.0.0.1:80', { host: '127.0.0.1', port: 80 }],
    ['http://[::1]:0/', { host: '::1', port: 0 }],
    ['http://h', null],
    ['http://h:1/path', null],
    ['tcp://h:1', { host: 'h', port: 1 }],
    ['tcp://[::1]:0', { host: '::1', port: 0 }],
    ['https://h:1', null],
    ['unix:/x', null],
    ['http://unix:/x', null],
    ['', null],
  ])('%s', (text, expected) => {
    expect(parseAdminAddress(text)).toEqual(expected);
  });
});
