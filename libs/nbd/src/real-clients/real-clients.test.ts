import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BUSY_PY, COMMANDS_PY, CONNECTIONS_PY, OPTIONS_PY } from './libnbd-scripts.ts';

/** The clients of the distribution, and its own Python: python3-libnbd belongs to that one. */
const CLIENT_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const DEADLINE_MS = 120_000;
const MIB = 1 << 20;
const VOLUME_BYTES = 64 * MIB;

const folder = mkdtempSync(join(tmpdir(), 'rmr-nbd-'));

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, ...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { cwd: folder, env: { PATH: CLIENT_PATH, LC_ALL: 'C.UTF-8' }, timeout: DEADLINE_MS, maxBuffer: 64 * MIB };
    execFile(command, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 255;
      resolve({ code, stdout, stderr });
    });
  });
}

/** The same, for commands that have to succeed. */
async function succeed(command: string, ...args: string[]): Promise<string> {
  const outcome = await run(command, ...args);
  expect(outcome.code, `${command} ${args.join(' ')}\n${outcome.stdout}${outcome.stderr}`).toBe(0);
  return outcome.stdout;
}

function missing(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { env: { PATH: CLIENT_PATH }, stdio: 'ignore' }).status !== 0;
}

const WITHOUT = {
  nbdinfo: missing('nbdinfo', '--version'),
  nbdcopy: missing('nbdcopy', '--version'),
  python: missing('python3', '-c', 'import nbd'),
  qemuImg: missing('qemu-img', '--version'),
  qemuIo: missing('qemu-io', '--version'),
  fio: missing('fio', '--version'),
};

/** A server process with exports for every purpose. */
class ServerProcess {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  address = '';

  constructor(address: string) {
    const script = join(folder, 'serve-memory.cjs');
    const exports = [
      { name: 'vol', description: 'a volume for tests', sizeBytes: VOLUME_BYTES, readPartBytes: 128 * 1024, fastZeroNoHole: false },
      { name: 'dense', sizeBytes: VOLUME_BYTES, sparse: false, fastZero: false },
      { name: 'ro', sizeBytes: MIB, readOnly: true, rotational: true },
      { name: 'sectors', sizeBytes: MIB, blockSizeMinBytes: 512 },
    ];
    const env = { ...process.env, NODE_PATH: join(import.meta.dirname, '../../../../node_modules') };
    this.#process = spawn(process.execPath, [script, address, ...exports.map((each) => JSON.stringify(each))], {
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const stdout = this.#process.stdout;
    if (stdout === null) throw new Error('the server has no standard output');
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  async start(): Promise<void> {
    this.address = (await this.#line())['address'] as string;
  }

  /** The URI of an export. */
  uri(name: string): string {
    if (this.address.startsWith('unix:')) return `nbd+unix:///${name}?socket=${this.address.slice(5)}`;
    return `${this.address.replace('tcp:', 'nbd:')}/${name}`;
  }

  async stop(): Promise<Record<string, unknown>> {
    this.#process.kill('SIGTERM');
    return this.#line();
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  async #line(): Promise<Record<string, unknown>> {
    const next = await this.#lines.next();
    if (next.done === true) throw new Error('the server ended early');
    return JSON.parse(next.value) as Record<string, unknown>;
  }
}

beforeAll(() => {
  buildSync({
    entryPoints: [join(import.meta.dirname, 'serve-memory.ts')],
    outfile: join(folder, 'serve-memory.cjs'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    external: ['@node-rs/crc32', 'koffi'],
    logLevel: 'error',
  });
});

afterAll(() => rmSync(folder, { recursive: true }));

describe.each([
  ['unix', `unix:${folder}/nbd.sock`],
  ['tcp', 'tcp://127.0.0.1:0'],
])('real clients over %s', { timeout: DEADLINE_MS }, (_transport, address) => {
  let server: ServerProcess;

  beforeAll(async () => {
    server = new ServerProcess(address);
    await server.start();
  });

  afterAll(async () => {
    // Every client is gone: a graceful end has nothing to wait for, and nothing is left.
    try {
      expect(await server.stop()).toEqual({ heldBytes: 0, orphanedRequests: 0 });
    } finally {
      server.kill();
    }
  });

  test.skipIf(WITHOUT.nbdinfo)('nbdinfo shows every field of an export', async () => {
    const output = await succeed('nbdinfo', server.uri('vol'));
    for (const line of [
      'protocol: newstyle-fixed without TLS, using structured packets',
      'export="vol":',
      'description: a volume for tests',
      `export-size: ${VOLUME_BYTES} (64M)`,
      'base:allocation',
      'is_rotational: false',
      'is_read_only: false',
      'can_cache: true',
      'can_df: true',
      'can_fast_zero: true',
      'can_flush: true',
      'can_fua: true',
      'can_multi_conn: true',
      'can_trim: true',
      'can_zero: true',
      'block_size_minimum: 1',
      'block_size_preferred: 4096',
      'block_size_maximum: 33554432',
    ]) {
      expect(output).toContain(line);
    }
  });

  test.skipIf(WITHOUT.nbdinfo)('nbdinfo --json agrees, also for a read-only export and one with sectors', async () => {
    const [vol, ro, sectors] = await Promise.all(
      ['vol', 'ro', 'sectors'].map(async (name) => {
        const info = JSON.parse(await succeed('nbdinfo', '--json', server.uri(name))) as { exports: Record<string, unknown>[] };
        return info.exports[0] ?? {};
      }),
    );
    expect(vol).toMatchObject({
      'export-name': 'vol',
      'export-size': VOLUME_BYTES,
      description: 'a volume for tests',
      contexts: ['base:allocation'],
      is_read_only: false,
      can_df: true,
      block_size_preferred: 4096,
    });
    expect(ro).toMatchObject({
      is_read_only: true,
      is_rotational: true,
      can_trim: false,
      can_zero: false,
      can_fast_zero: false,
      can_flush: true,
      can_multi_conn: true,
    });
    expect(sectors).toMatchObject({ block_size_minimum: 512, block_size_preferred: 4096, block_size_maximum: 32 * MIB });
  });

  test.skipIf(WITHOUT.nbdinfo)('nbdinfo --can and --is answer for every flag', async () => {
    const yes = ['cache', 'connect', 'df', 'fast-zero', 'flush', 'fua', 'multi-conn', 'trim', 'zero', 'structured-reply', 'read', 'write'];
    for (const flag of yes) expect(await run('nbdinfo', '--can', flag, server.uri('vol')), flag).toMatchObject({ code: 0 });
    for (const flag of ['fast-zero', 'trim', 'zero', 'write']) {
      expect(await run('nbdinfo', '--can', flag, server.uri('ro')), flag).toMatchObject({ code: 2 });
    }
    expect(await run('nbdinfo', '--is', 'read-only', server.uri('ro'))).toMatchObject({ code: 0 });
    expect(await run('nbdinfo', '--is', 'rotational', server.uri('ro'))).toMatchObject({ code: 0 });
    expect(await run('nbdinfo', '--is', 'read-only', server.uri('vol'))).toMatchObject({ code: 2 });
    expect(await run('nbdinfo', '--is', 'tls', server.uri('vol'))).toMatchObject({ code: 2 });
  });

  test.skipIf(WITHOUT.nbdinfo)(
    'nbdinfo --list finds every export, --size the size, and an unknown name is refused with a reason',
    async () => {
      const list = JSON.parse(await succeed('nbdinfo', '--list', '--json', server.uri(''))) as { exports: Record<string, unknown>[] };
      expect(list.exports.map((each) => each['export-name'])).toEqual(['vol', 'dense', 'ro', 'sectors']);
      expect(await succeed('nbdinfo', '--size', server.uri('ro'))).toBe(`${MIB}\n`);
      const refused = await run('nbdinfo', server.uri('nosuch'));
      expect(refused.code).not.toBe(0);
      expect(refused.stderr).toMatch(/nosuch|no export|not/i);
    },
  );

  test.skipIf(WITHOUT.nbdinfo || WITHOUT.qemuIo)('nbdinfo --map shows what qemu-io wrote, zeroed and discarded', async () => {
    const uri = server.uri('vol');
    await succeed('qemu-io', '-f', 'raw', uri, '-c', `discard 0 ${VOLUME_BYTES}`);
    expect(await mapOf(uri)).toEqual([[0, VOLUME_BYTES, 'hole,zero']]);
    await succeed('qemu-io', '-f', 'raw', uri, '-c', 'write 1M 2M', '-c', 'write -z -u 2M 512k', '-c', 'write -z 4M 64k');
    expect(await mapOf(uri)).toEqual([
      [0, MIB, 'hole,zero'],
      [MIB, MIB, 'data'],
      [2 * MIB, MIB / 2, 'hole,zero'],
      [2.5 * MIB, MIB / 2, 'data'],
      [3 * MIB, MIB, 'hole,zero'],
      [4 * MIB, 65_536, 'data'],
      [4 * MIB + 65_536, VOLUME_BYTES - 4 * MIB - 65_536, 'hole,zero'],
    ]);
  });

  test.skipIf(WITHOUT.nbdcopy)('nbdcopy: what goes in comes out, with extents, without, asynchronously or not', async () => {
    const source = join(folder, 'source.img');
    const back = join(folder, 'back.img');
    writeFileSync(source, sparseImage(VOLUME_BYTES));
    const digest = digestOf(source);
    for (const options of [
      [],
      ['--allocated'],
      ['--synchronous'],
      ['--no-extents'],
      ['--connections=4', '--requests=64'],
      ['--request-size=4194304'],
    ]) {
      for (const name of options.length === 0 ? ['vol', 'dense'] : ['vol']) {
        await succeed('nbdcopy', '--flush', ...options, source, server.uri(name));
        await succeed('nbdcopy', ...options, server.uri(name), back);
        expect(digestOf(back), `${name} ${options.join(' ')}`).toBe(digest);
      }
    }
    // Between two exports, the target known to be zero.
    await succeed('nbdcopy', '--destination-is-zero', server.uri('dense'), server.uri('vol'));
    await succeed('nbdcopy', server.uri('vol'), back);
    expect(digestOf(back)).toBe(digest);
  });

  test.skipIf(WITHOUT.qemuImg)('qemu-img: convert there and back compares equal, and map and info work', async () => {
    const source = join(folder, 'source.img');
    const back = join(folder, 'back.qcow2');
    writeFileSync(source, sparseImage(VOLUME_BYTES));
    for (const name of ['vol', 'dense']) {
      const uri = server.uri(name);
      await succeed('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', '-W', '-m', '16', source, uri);
      await succeed('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, uri);
      await succeed('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', uri, back);
      await succeed('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', source, back);
      const map = JSON.parse(await succeed('qemu-img', 'map', '--output=json', '-f', 'raw', uri)) as { length: number }[];
      expect(map.reduce((sum, run) => sum + run.length, 0)).toBe(VOLUME_BYTES);
      const info = JSON.parse(await succeed('qemu-img', 'info', '--output=json', '-f', 'raw', uri)) as Record<string, unknown>;
      expect(info['virtual-size']).toBe(VOLUME_BYTES);
    }
  });

  test.skipIf(WITHOUT.qemuIo)('qemu-io: patterns at every alignment and size, FUA, zeroes, discards', async () => {
    for (const name of ['vol', 'dense', 'sectors']) {
      const size = name === 'sectors' ? MIB : VOLUME_BYTES;
      const writes = [
        'write -P 0x11 0 4k',
        'write -P 0x22 513 1025',
        'write -f -P 0x33 8191 2',
        'write -P 0x44 100000 131073',
        `write -P 0x55 ${size - 511} 511`,
        'write -z 4096 4095',
        'write -z -u 20000 30000',
        'write -z -f 60000 1000',
        'discard 65536 8192',
        'flush',
      ];
      if (size > MIB) writes.push('write -P 0x66 1048575 33554433', 'aio_write -P 0x77 40M 8M', 'aio_write -P 0x78 48M 8M', 'aio_flush');
      const reads = [
        'read -P 0x11 0 513',
        'read -P 0x22 513 1025',
        'read -P 0 4096 4095',
        'read -P 0x33 8191 2',
        'read -P 0 20000 30000',
        'read -P 0x44 100000 131073',
        `read -P 0x55 ${size - 511} 511`,
      ];
      if (size > MIB) reads.push('read -P 0x66 1048575 33554433', 'read -P 0x77 40M 8M', 'read -P 0x78 48M 8M');
      const output = await succeed('qemu-io', '-f', 'raw', server.uri(name), ...[...writes, ...reads].flatMap((each) => ['-c', each]));
      expect(output).not.toMatch(/verification failed|error/i);
    }
  });

  test.skipIf(WITHOUT.qemuIo)('qemu-io: zeroes that have to be fast are refused where they would be slow', async () => {
    const quick = ['-c', 'write -z -u -n 0 1M'];
    await succeed('qemu-io', '-f', 'raw', server.uri('vol'), ...quick);
    for (const [name, command] of [
      ['dense', quick],
      ['vol', ['-c', 'write -z -n 0 1M']],
    ] as const) {
      const refused = await run('qemu-io', '-f', 'raw', server.uri(name), ...command);
      expect(refused.code).not.toBe(0);
      expect(refused.stdout + refused.stderr).toMatch(/not supported/i);
    }
  });

  test.skipIf(WITHOUT.fio)('fio: random reads and writes on several connections verify', async () => {
    const output = await succeed(
      'fio',
      '--ioengine=nbd',
      `--uri=${server.uri('vol')}`,
      '--name=verify',
      '--rw=randrw',
      '--bsrange=512-128k',
      '--bs_unaligned=1',
      '--iodepth=32',
      '--numjobs=4',
      '--size=8M',
      '--offset_increment=8M',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--verify_backlog=64',
      '--group_reporting',
    );
    expect(output).toMatch(/err= 0/);
  });

  test.skipIf(WITHOUT.python)('libnbd: every command, flag and error, with and without structured replies', async () => {
    const script = join(folder, 'commands.py');
    writeFileSync(script, COMMANDS_PY);
    for (const structured of ['structured', 'simple']) {
      expect(await succeed('python3', script, structured, server.uri('vol'), server.uri('ro'), server.uri('sectors'))).toBe('done\n');
    }
  });

  test.skipIf(WITHOUT.python)('libnbd: option by option', async () => {
    const script = join(folder, 'options.py');
    writeFileSync(script, OPTIONS_PY);
    expect(await succeed('python3', script, server.uri('vol'))).toBe('done\n');
  });

  test.skipIf(WITHOUT.python)('libnbd: a flush on one connection covers the writes of another', async () => {
    const script = join(folder, 'connections.py');
    writeFileSync(script, CONNECTIONS_PY);
    expect(await succeed('python3', script, server.uri('vol'))).toBe('done\n');
  });
});

test.skipIf(WITHOUT.python)(
  'a server that is told to end while a client is busy ends soon, and holds nothing',
  { timeout: DEADLINE_MS },
  async () => {
    const server = new ServerProcess(`unix:${folder}/ending.sock`);
    await server.start();
    const script = join(folder, 'busy.py');
    writeFileSync(script, BUSY_PY);
    const client = spawn('python3', [script, server.uri('vol')], { env: { PATH: CLIENT_PATH }, stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const ended = new Promise((resolve) => client.once('exit', resolve));
      await new Promise((resolve) => client.stdout.once('data', resolve));
      expect(await server.stop()).toEqual({ heldBytes: 0, orphanedRequests: 0 });
      expect(await ended).toBe(0);
    } finally {
      server.kill();
      client.kill('SIGKILL');
    }
  },
);

async function mapOf(uri: string): Promise<[number, number, string][]> {
  const map = JSON.parse(await succeed('nbdinfo', '--map', '--json', uri)) as { offset: number; length: number; description: string }[];
  return map.map(({ offset, length, description }) => [offset, length, description]);
}

/** Random data with holes of many sizes. */
function sparseImage(size: number): Buffer {
  const image = Buffer.alloc(size);
  for (let at = 0, length = 4096; at + length < size; at += length * 3, length = length >= 4 * MIB ? 4096 : length * 2) {
    randomBytes(length).copy(image, at);
  }
  randomBytes(777).copy(image, size - 777);
  return image;
}

function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
