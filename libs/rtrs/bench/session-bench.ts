// Requests per second of one session over a unix socket between two processes.
//
//   npx esbuild libs/rtrs/bench/session-bench.ts --bundle --platform=node --format=esm --external:@node-rs/crc32 --external:koffi \
//     --banner:js="import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" \
//     --outfile=libs/rtrs/bench/.out/session-bench.mjs
//   node libs/rtrs/bench/.out/session-bench.mjs [--depth 32] [--bytes 4096] [--read] [--paths 1] [--seconds 4] [--no-checksum]
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { SILENT_LOGGER, SlabPool } from '@rmr/runtime';
import { createSystemWorld, SocketTransport } from '@rmr/runtime/node';
import { type PeerIdentity, RtrsClientSession, RtrsServer } from '../src/index.ts';

/** What an RMR write message takes, about. */
const HEADER_BYTES = 64;
const RESPONSE_HEADER_BYTES = 16;

const { values: options } = parseArgs({
  options: {
    role: { type: 'string', default: 'client' },
    socket: { type: 'string', default: `/tmp/rtrs-bench-${process.pid}.sock` },
    depth: { type: 'string', default: '32' },
    bytes: { type: 'string', default: '4096' },
    paths: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '4' },
    read: { type: 'boolean', default: false },
    'no-checksum': { type: 'boolean', default: false },
  },
});
const depth = Number(options.depth);
const byteCount = Number(options.bytes);
const world = createSystemWorld(SILENT_LOGGER);
const slabs = new SlabPool();
const address = `unix:${options.socket}`;
const payloadChecksum = !options['no-checksum'];

function identity(hostName: string): PeerIdentity {
  return { hostUuid: randomUUID(), hostName, bootId: randomUUID(), incarnation: randomUUID() };
}

const limits = { queueDepth: 256, maxPayloadBytes: 8 * 1024 * 1024, payloadChecksum };

function serve(): void {
  const slab = slabs.take(byteCount);
  const payload = slab.bytes.subarray(0, byteCount).fill(7);
  const server = new RtrsServer(
    world,
    slabs,
    { local: identity('server'), ...limits },
    {
      onSession() {},
      onRequest(request) {
        if (request.payload === null) request.respond(0, RESPONSE_HEADER_BYTES, payload, slab);
        else request.respond(0, RESPONSE_HEADER_BYTES, null, null);
      },
      onSessionClosed() {},
      onSessionDrained() {
        const { user, system } = process.cpuUsage();
        process.send?.({ cpuSeconds: (user + system) / 1e6 }, () => process.exit(0));
      },
    },
  );
  new SocketTransport().listen(
    address,
    (stream) => server.accept(stream),
    () => process.send?.('listening'),
    (_code, reason) => {
      throw new Error(reason);
    },
  );
}

function run(): void {
  const seconds = Number(options.seconds);
  const server = fork(process.argv[1] as string, ['--role', 'server', ...process.argv.slice(2), '--socket', options.socket]);
  const slab = slabs.take(byteCount);
  const payload = options.read ? null : slab.bytes.subarray(0, byteCount).fill(5);
  const startedAt = new Float64Array(depth);
  const latencies: number[] = [];
  let done = 0;
  let measuring = false;

  const sink = {
    onResponse(tag: number, status: number): void {
      if (status !== 0) throw new Error(`status ${status}`);
      done++;
      if (measuring && (done & 15) === 0) latencies.push(performance.now() - (startedAt[tag] as number));
      submit(tag);
    },
  };
  const session = new RtrsClientSession(
    world,
    new SocketTransport(),
    slabs,
    { local: identity('client'), addresses: Array.from({ length: Number(options.paths) }, () => address), ...limits },
    {
      onConnected() {
        for (let i = 0; i < depth; i++) submit(i);
        setTimeout(measure, 1000);
      },
      onLost(_session, reason) {
        throw new Error(reason);
      },
      onPermit() {},
    },
  );
  function submit(tag: number): void {
    const slot = session.allocate(false);
    session.headerBytes[session.headerOffset(slot)] = tag;
    startedAt[tag] = performance.now();
    session.submit(slot, HEADER_BYTES, payload, payload === null ? null : slab, tag, sink);
  }
  function measure(): void {
    const from = performance.now();
    const first = done;
    const cpu = process.cpuUsage();
    measuring = true;
    setTimeout(() => {
      const elapsed = (performance.now() - from) / 1000;
      const { user, system } = process.cpuUsage(cpu);
      latencies.sort((a, b) => a - b);
      const at = (q: number) => (latencies[Math.floor(latencies.length * q)] ?? 0).toFixed(3);
      const perSecond = (done - first) / elapsed;
      process.stdout.write(
        `${options.read ? 'read' : 'write'} ${byteCount} B, depth ${depth}, ${options.paths} path(s), checksum ${payloadChecksum}: ` +
          `${Math.round(perSecond)} requests/s, ${((perSecond * byteCount) / 1e6).toFixed(0)} MB/s, ` +
          `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, client CPU ${((user + system) / (done - first)).toFixed(2)} us per request`,
      );
      session.close('done');
    }, seconds * 1000);
  }
  server.on('message', (message) => {
    if (message === 'listening') session.start();
    else process.stdout.write(`, server ${(((message as { cpuSeconds: number }).cpuSeconds * 1e6) / done).toFixed(2)} us\n`);
  });
  server.on('exit', () => {
    rmSync(options.socket, { force: true });
    process.exit(0);
  });
}

if (options.role === 'server') serve();
else run();
