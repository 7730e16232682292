import { SILENT_LOGGER } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { memberOf, POLICY, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import { MessageType } from '../../../wire/io-message.ts';
import { IoRequest } from '../io/io-request.ts';
import { Leg } from '../legs/leg.ts';
import { PoolMaps } from '../pool-maps.ts';
import { type PoolSituation, poolStatus } from './pool-client-status.ts';

const VERSION = versionOf(3, [1, 2], { epoch: 2 });
const AWAY = 'Start storage-2 or its host, or mend the network to it, unless it comes back by itself.';

let sessions: Map<number, ScriptedSession>;
let legs: Leg[];
let requests: IoRequest[];
let heldUpMs: number;
let gate: { writesWait: boolean; versionPending: boolean; readsUntilMs: number };
let versions: { paused: boolean; witnessReady: boolean; maintenance: number[] };
let situation: PoolSituation;

const session = (memberId: number): ScriptedSession => sessions.get(memberId) as ScriptedSession;
const leg = (memberId: number): Leg => legs[memberId - 1] as Leg;
const status = (fields: Partial<PoolSituation> = {}) => poolStatus({ ...situation, ...fields });
const legStatus = (memberId: number) => status().legs.find((each) => each.memberId === memberId);

function legTo(memberId: number): Leg {
  const scripted = new ScriptedSession();
  sessions.set(memberId, scripted);
  return new Leg(memberId - 1, memberOf(memberId), scripted.shared, SILENT_LOGGER, () => 1_000);
}

/** The leg leaves the set; its session is lost or stays. */
function leave(memberId: number, connected = false): void {
  session(memberId).connected = connected;
  leg(memberId).setState('FAILED', 'it left');
}

function write(): void {
  const request = new IoRequest({ onIoDone: () => {} });
  request.type = MessageType.WRITE;
  request.lengthBytes = 4096;
  requests.push(request);
}

beforeEach(() => {
  sessions = new Map();
  requests = [];
  heldUpMs = 0;
  legs = [legTo(1), legTo(2)];
  for (const each of legs) {
    each.setState('RECONNECTING', 'asked');
    each.enabled(VERSION);
  }
  gate = { writesWait: false, versionPending: false, readsUntilMs: Number.POSITIVE_INFINITY };
  versions = { paused: false, witnessReady: false, maintenance: [] };
  const parts = {
    engine: {
      ...{ gate, executing: 0, waiting: 0, inFlight: new Int32Array(8), owed: [] },
      forEachRequest: (visit: (request: IoRequest, isSent: boolean, pending: number) => void) =>
        requests.forEach((request) => void visit(request, true, 0b10)),
      holdUps: { heldUpMs: () => heldUpMs, limits: { slowFactor: 20, slowForMs: 30_000 } },
    },
    versions: {
      ...{ current: VERSION, policy: POLICY, owed: [], owedIds: [], recording: null, members: [memberOf(1), memberOf(2)] },
      dataMemberIds: () => [1, 2],
      inMaintenance: (memberId: number) => versions.maintenance.includes(memberId),
    },
  };
  situation = {
    ...{ poolUuid: 'pool', poolName: 'pool', epoch: 2, geometry: null },
    clock: new VirtualWorld().host('client-1').clock,
    state: 'SERVING',
    stateSinceMs: 2_000,
    waitingFor: null,
    legs,
    witness: null,
    witnessAwaySinceMs: 3_000,
    mapUpdateSinceMs: 4_000,
    engine: parts.engine as unknown as PoolSituation['engine'],
    versions: Object.defineProperties(parts.versions, {
      paused: { get: () => versions.paused },
      witnessReady: { get: () => versions.witnessReady },
    }) as unknown as PoolSituation['versions'],
    maps: new PoolMaps(16 * 8192, 8192),
    returning: null,
    differences: [],
    born: true,
  };
});

test('L4: what a map update holds up waits since that began, not since the return did', () => {
  leave(2, true);
  leg(2).setState('RECONNECTING', 'it has answered');
  gate.writesWait = true;
  write();
  const returning = { leg: leg(2), phase: 'letting writes end for the map update' } as unknown as PoolSituation['returning'];
  expect(status({ returning }).waits).toMatchObject([
    { kind: 'MAP_UPDATE', what: 'the return of member 2 (storage-2): letting writes end for the map update' },
  ]);
  requests = [];
  expect(status({ returning }).waits).toMatchObject([{ sinceMs: 4_000, requests: 0 }]);
});

describe('L7: what a member held up', () => {
  test('is told of one that is in the set, when it counts', () => {
    heldUpMs = 2_999;
    expect(legStatus(2)?.heldUp).toBeNull();
    heldUpMs = 3_000;
    expect(legStatus(2)?.heldUp).toEqual({ ms: 3_000, withinMs: 30_000 });
    leave(2, true);
    expect(legStatus(2)?.heldUp).toBeNull();
  });

  test('is told as long as it is out, also when its return has failed', () => {
    leave(2, true);
    leg(2).leftFor = 'it left';
    expect(legStatus(2)?.reason).toBe('it left');
    leg(2).problem = 'its return held up IO for 600 ms';
    expect(legStatus(2)?.reason).toBe('its return held up IO for 600 ms; it had left: it left');
  });
});

describe('what somebody can do about it', () => {
  test('a member without a session is to be started, one that comes back is not', () => {
    leave(2);
    Object.assign(session(2), { lostSinceMs: 500 });
    expect(legStatus(2)?.waitingFor).toEqual({ what: expect.stringMatching(/^a session to .+: cut$/), sinceMs: 500, remedy: AWAY });
    session(2).connected = true;
    expect(legStatus(2)?.waitingFor).toEqual({ what: 'its return, which is about to begin', sinceMs: 1_000 });
  });

  test('what a member can not return for is told with its next try', () => {
    leave(2, true);
    leg(2).problem = 'member 2 (storage-2): this node has no store of the pool';
    leg(2).remedy = 'Open the store.';
    leg(2).returnAtMs = situation.clock.nowMs() + 5_000;
    expect(legStatus(2)?.waitingFor).toMatchObject({ what: expect.stringContaining('in 5 s: member 2'), remedy: 'Open the store.' });
    // It is another problem now.
    leg(2).problem = 'path set lost';
    expect(legStatus(2)?.waitingFor?.remedy).toBeUndefined();
  });

  test('maintenance is ended by whoever began it', () => {
    leave(2, true);
    versions.maintenance = [2];
    expect(legStatus(2)?.waitingFor).toMatchObject({
      what: 'an operator to end its maintenance',
      remedy: 'End the maintenance of storage-2 where it was begun: there is no command for it yet.',
    });
  });

  test('a pause ends when a majority is there: which members are away is looked at each time', () => {
    const witness = legTo(9);
    leave(2);
    session(9).connected = false;
    versions.paused = true;
    gate.versionPending = true;
    const waitingFor = { what: 'a majority', sinceMs: 700 };
    const paused = () => status({ waitingFor, witness });
    expect(paused().waitingFor).toMatchObject({ sinceMs: 700, remedy: expect.stringMatching(/^Start storage-2 and storage-9 /) });
    expect(paused().waits).toMatchObject([{ kind: 'QUORUM', remedy: expect.stringMatching(/^Start storage-2 and storage-9 /) }]);
    versions.witnessReady = true;
    expect(paused().waitingFor?.remedy).toBe(AWAY);
    session(2).connected = true;
    expect(paused().waitingFor?.remedy).toBeUndefined();
  });

  test('a chunk whose only clean copy is away needs its member; for one that is in sync nobody has to act', () => {
    leave(2);
    situation.maps?.of(1).set(0, 1);
    write();
    expect(status().waits).toMatchObject([{ kind: 'CHUNK', remedy: AWAY }]);
    session(2).connected = true;
    expect(status().waits[0]?.remedy).toBeUndefined();
  });
});

describe('a witness', () => {
  const of = (witness: Leg, fields: Partial<PoolSituation> = {}) => poolStatus({ ...situation, witness, ...fields }).witness?.waitingFor;

  test('that takes part waits for nothing; one that there is not is not told', () => {
    const witness = legTo(9);
    versions.witnessReady = true;
    expect([of(witness), poolStatus(situation).witness]).toEqual([null, null]);
  });

  test('that takes no part says for what, and since when', () => {
    const witness = legTo(9);
    expect(of(witness)).toEqual({ what: 'it to grant the pool', sinceMs: 3_000 });
    expect(of(witness, { state: 'RECOVERING' })).toEqual({ what: 'the pool to be served', sinceMs: 3_000 });
    witness.problem = 'no store';
    expect(of(witness)).toMatchObject({ what: 'it to grant the pool: no store', remedy: expect.stringContaining('status of storage-9') });
    session(9).connected = false;
    expect(of(witness)).toMatchObject({
      what: expect.stringMatching(/^a session to /),
      remedy: expect.stringMatching(/^Start storage-9 /),
    });
  });
});
