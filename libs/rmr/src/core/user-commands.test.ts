import { RtrsServer } from '@rmr/rtrs';
import { OperationError, randomUuid, SlabPool } from '@rmr/runtime';
import { MemoryNetwork, VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { COMMANDS_MAX, CONTROL_TIMEOUT_MS, SESSION_IDLE_MS } from '../constants.ts';
import { MESSAGE_PAYLOAD_BYTES_MAX } from '../wire/unresolved-writes.ts';
import { RmrClient } from './client/rmr-client.ts';
import { RmrServer } from './server/rmr-server.ts';
import { Sessions } from './sessions.ts';

const ADDRESS = 'memory:storage-1';

let world: VirtualWorld;
let network: MemoryNetwork;
let client: RmrClient;
let server: RmrServer;
let listener: RtrsServer;

beforeEach(() => {
  world = new VirtualWorld(1);
  network = new MemoryNetwork(world);
  const session = (hostName: string) => ({
    local: { hostUuid: randomUuid(world.random), hostName, bootId: randomUuid(world.random), incarnation: randomUuid(world.random) },
    queueDepth: 2 * COMMANDS_MAX,
    maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
    payloadChecksum: false,
    heartbeatIntervalMs: 1000,
    deadAfterMs: 5000,
  });
  const slabs = new SlabPool();
  server = new RmrServer(world, slabs, new Sessions(world, network.host('storage-1'), slabs, session('storage-1')));
  listener = new RtrsServer(world, slabs, session('storage-1'), server);
  network.host('storage-1').listen(
    ADDRESS,
    (stream) => listener.accept(stream),
    () => {},
    (_code, reason) => {
      throw new Error(reason);
    },
  );
  client = new RmrClient(world, network.host('client-1'), slabs, {
    instanceUuid: randomUuid(world.random),
    name: 'client-1',
    session: session('client-1'),
  });
});

/** Sends a command. The outcome is there once it is known: the answer, or the code and text of the failure. */
function send(command: string): { outcome: string | null } {
  const sent: { outcome: string | null } = { outcome: null };
  client.command([ADDRESS], 'storage-1', command, (result) => {
    expect(sent.outcome).toBeNull();
    sent.outcome = result instanceof OperationError ? `${result.code}: ${result.message}` : result;
  });
  expect(sent.outcome).toBeNull();
  return sent;
}

describe('user commands', () => {
  test('a command and its answer are carried as they are, without a pool, and the node knows who asks', () => {
    server.onCommand = (peer, command, done) => done(`${peer} said ${command}`);
    const sent = send('{"a": "ü\\"\u0000"}');
    world.run(100);
    expect(sent.outcome).toBe('client-1 said {"a": "ü\\"\u0000"}');
  });

  test('an answer may take long, and commands overtake one another', () => {
    const waiting = new Map<string, (answer: string) => void>();
    server.onCommand = (_peer, command, done) => waiting.set(command, done);
    const [slow, quick] = [send('slow'), send('quick')];
    world.run(20_000);
    waiting.get('quick')?.('second');
    world.run(10);
    expect([slow.outcome, quick.outcome]).toEqual([null, 'second']);
    waiting.get('slow')?.('first');
    world.run(10);
    expect(slow.outcome).toBe('first');
  });

  test('a node that takes no commands, or has as many as it may, says so', () => {
    const refused = send('anything');
    world.run(100);
    expect(refused.outcome).toBe('UNAVAILABLE: storage-1: this node takes no commands');
    const waiting: ((answer: string) => void)[] = [];
    server.onCommand = (_peer, _command, done) => waiting.push(done);
    const sent = Array.from({ length: COMMANDS_MAX + 1 }, () => send('more'));
    world.run(100);
    expect(waiting.length).toBe(COMMANDS_MAX);
    expect(sent.flatMap(({ outcome }) => (outcome === null ? [] : [outcome]))).toEqual([
      `UNAVAILABLE: storage-1: this node carries out ${COMMANDS_MAX} commands already; try again`,
    ]);
    for (const done of waiting.splice(0)) done('done');
    world.run(100);
    expect(sent.filter(({ outcome }) => outcome === 'done').length).toBe(COMMANDS_MAX);
  });

  test('a command that is not answered fails, and what comes later harms nobody', () => {
    let late: ((answer: string) => void) | null = null;
    server.onCommand = (_peer, _command, done) => {
      late = done;
    };
    const sent = send('never');
    world.run(CONTROL_TIMEOUT_MS + 1000);
    expect(sent.outcome).toMatch(/^UNAVAILABLE: storage-1 did not answer command/);
    (late as ((answer: string) => void) | null)?.('too late');
    world.run(100);
    expect(sent.outcome).toMatch(/^UNAVAILABLE/);
  });

  test('a session that was opened for a command is closed when nobody has used it for a while, and opened again for the next', () => {
    server.onCommand = (_peer, command, done) => done(command);
    send('one');
    world.run(SESSION_IDLE_MS - 1000);
    expect([client.sessions().length, listener.sessions().length]).toEqual([1, 1]);
    world.run(2000);
    expect(client.sessions()).toEqual([]);
    const sent = send('two');
    world.run(100);
    expect(sent.outcome).toBe('two');
  });

  test('a command that opens the session waits for the first attempt to connect; a node that is not there is told at once', () => {
    server.onCommand = (_peer, command, done) => done(command);
    Object.assign(network.options, { delayMsMin: 100, delayMsMax: 120 });
    const sent = send('patient');
    world.run(300);
    expect(sent.outcome).toBeNull();
    world.run(3000);
    expect(sent.outcome).toBe('patient');
    let failure: unknown;
    client.command(['memory:nobody'], 'storage-9', 'hello', (result) => {
      failure = result;
    });
    world.run(3000);
    expect(failure).toMatchObject({ code: 'UNAVAILABLE', message: expect.stringMatching(/^storage-9 did not answer/) });
  });

  test('a session with a command under way stays', () => {
    server.onCommand = () => {};
    send('long');
    world.run(2 * SESSION_IDLE_MS - 1000);
    expect(client.sessions().length).toBe(1);
  });
});
