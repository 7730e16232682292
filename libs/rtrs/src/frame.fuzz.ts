import { randomBelow, SeededRandom } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { RawPeer, rawFrame, rawHandshake } from './raw-peer.ts';
import { identity, Pair, TestClient } from './test-harness.ts';
import { FRAME_HEADER_BYTES, FrameKind } from './wire/frame-header.ts';
import type { Handshake } from './wire/handshake.ts';

/** Seeds per kind of input; `RTRS_FUZZ_SEEDS` for a long run. */
const SEEDS = Number(process.env['RTRS_FUZZ_SEEDS'] ?? 30);
const FIRST_SEED = Number(process.env['RTRS_FUZZ_FIRST'] ?? 1);

const HANDSHAKE: Handshake = {
  versionMin: 2,
  versionMax: 2,
  payloadChecksum: false,
  generation: 0,
  pathId: 0,
  maxPayloadBytes: 64 * 1024,
  heartbeatIntervalMs: 1000,
  queueDepth: 8,
  identity: identity('stranger'),
};
const WELCOME: Handshake = { ...HANDSHAKE, pathId: 1, generation: 5, identity: identity('impostor') };

const KINDS = Object.values(FrameKind);

/** Frames that make sense, frames that do not, and noise; some of it damaged. */
function input(random: SeededRandom, handshake: Uint8Array): Uint8Array[] {
  const runs: Uint8Array[] = [];
  if (randomBelow(random, 8) > 0) runs.push(handshake.slice());
  const count = 1 + randomBelow(random, 40);
  for (let i = 0; i < count; i++) {
    const kind = KINDS[randomBelow(random, KINDS.length)] as FrameKind;
    const wild = randomBelow(random, 6) === 0;
    const size = (max: number) => randomBelow(random, wild ? max * 2 : max);
    const userHeader = Uint8Array.from({ length: size(kind === FrameKind.RESPONSE ? 64 : 160) }, () => random.u32());
    switch (randomBelow(random, 8)) {
      case 0:
        runs.push(Uint8Array.from({ length: size(200) }, () => random.u32()));
        break;
      case 1:
        runs.push(
          rawFrame(kind, { userHeader, slot: size(64), generation: size(4), status: size(5), payload: new Uint8Array(size(70_000)) }),
        );
        break;
      case 2:
        runs.push(rawFrame(kind, { userHeader: userHeader.subarray(0, 0), status: randomBelow(random, 4) }));
        break;
      case 3:
        runs.push(rawFrame(kind, { payloadLength: random.u32(), flags: randomBelow(random, 3) }));
        break;
      default:
        runs.push(
          rawFrame(randomBelow(random, 2) === 0 ? FrameKind.REQUEST : FrameKind.RESPONSE, {
            userHeader: userHeader.subarray(0, 40),
            slot: randomBelow(random, 24),
            generation: 1,
            payload: new Uint8Array(randomBelow(random, 3) * 30_000),
          }),
        );
    }
  }
  for (const run of runs) {
    if (randomBelow(random, 15) > 0 || run.length === 0) continue;
    const damages = 1 + randomBelow(random, 3);
    for (let i = 0; i < damages; i++) run[randomBelow(random, Math.min(run.length, FRAME_HEADER_BYTES * 2))] = random.u32();
  }
  return runs;
}

function feed(pair: Pair, random: SeededRandom, peer: RawPeer, runs: Uint8Array[]): void {
  for (const run of runs) {
    const cut = randomBelow(random, run.length + 1);
    peer.send(run.subarray(0, cut));
    if (randomBelow(random, 3) === 0) pair.world.run(random.u32() % 5);
    peer.send(run.subarray(cut));
  }
}

describe.each(Array.from({ length: SEEDS }, (_, i) => FIRST_SEED + i))('fuzz, seed %i', (seed) => {
  test('a server neither throws nor hangs nor keeps memory, and other sessions go on', () => {
    const random = new SeededRandom(seed);
    const pair = new Pair({ seed, network: { runBytesMax: 100 + randomBelow(random, 8_000) } }).connect();
    pair.server.echo = randomBelow(random, 2) === 0;
    for (let round = 0; round < 3; round++) {
      const peers: RawPeer[] = [];
      RawPeer.connect(pair.network, 'memory:port0', (peer) => peers.push(peer));
      pair.until(() => peers.length > 0, 1_000, 'a connection');
      const [peer] = peers as [RawPeer];
      feed(pair, random, peer, input(random, rawHandshake(FrameKind.HELLO, HANDSHAKE)));
      if (randomBelow(random, 2) === 0) pair.world.run(100);
      if (randomBelow(random, 4) === 0) peer.stream.destroy('gone');
      // It ends by a bad frame, by silence, or by the stranger.
      pair.until(() => peer.closed !== null, 20_000, 'the end of the connection');
    }
    pair.server.answerAll();
    pair.server.echo = true;
    pair.client.send('a good one', 1);
    pair.until(() => pair.client.ended.size === 1, 10_000, 'the response of another session');
    expect(pair.client.events).toEqual(['connected', 'end 1: 0']);
    for (const entry of pair.world.log.entries) {
      if (entry.event === 'rtrs server: a path is gone') expect(entry.fields['why']).not.toBe('');
    }
    pair.finish();
  });

  test('a client neither throws nor hangs nor keeps memory, and finds a good server afterwards', () => {
    const random = new SeededRandom(seed + 1_000_000);
    const pair = new Pair({ seed, network: { runBytesMax: 100 + randomBelow(random, 8_000) } });
    const peers: RawPeer[] = [];
    pair.network.host('impostor').listen(
      'memory:impostor',
      (stream) => peers.push(new RawPeer(stream)),
      () => {},
      () => {},
    );
    pair.world.run(1);
    const client = new TestClient(pair.world.host('c'), pair.network, ['memory:impostor', 'memory:port0'], {
      payloadChecksum: false,
      maxPayloadBytes: 64 * 1024,
      queueDepth: 8,
    });
    pair.world.check(() => client.session.verify());
    client.onEvent = (event) => {
      if (event !== 'connected') return;
      for (let i = 0; i < 6; i++) {
        const tag = client.ended.size * 1000 + client.events.length * 10 + i;
        if (!client.ended.has(tag)) client.send(`${i}`, tag, { payload: new Uint8Array(i * 9_000), fromSlab: true });
      }
    };
    client.session.start();
    for (let round = 0; round < 3; round++) {
      pair.until(() => peers.length > 0, 60_000, 'the client to come');
      const peer = peers.shift() as RawPeer;
      feed(pair, random, peer, input(random, rawHandshake(FrameKind.WELCOME, WELCOME)));
      pair.until(() => peer.closed !== null, 20_000, 'the end of the connection');
    }
    pair.network.refuse('memory:impostor', true);
    pair.until(() => client.session.state === 'CONNECTED' && client.session.peer?.hostName === 'server', 60_000, 'the good server');
    pair.until(() => client.session.inFlight === 0, 60_000, 'everything to be answered');
    client.session.close('enough');
    for (const peer of peers) peer.stream.destroy('enough');
    pair.world.run(20_000);
    expect(client.slabs.heldBytes).toBe(0);
    expect(pair.server.slabs.heldBytes).toBe(0);
  });
});
