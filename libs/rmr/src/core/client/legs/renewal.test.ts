import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { LEASE_MS, RENEW_MS } from '../../../constants.ts';
import { CLIENT, MARK, memberOf, POOL, seenOf, storeOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { HeardMarks } from '../../../wire/control-message.ts';
import { Leg } from './leg.ts';
import { LegHoldUps } from './leg-hold-ups.ts';
import { Renewal } from './renewal.ts';

let session: ScriptedSession;
let leg: Leg;
let epoch: number;
let wallMs: number;
let heard: string[];
/** L8: what members are told of the stores of others, and what they have told of theirs. */
let marks: HeardMarks;
let told: [memberId: number, age: number][];
let renewal: Renewal;
let majority: boolean;
let witness: Leg | null;
/** C4: what is answered to another client that asks for the pool. */
let refusal: string;
let engine: { gate: { readsUntilMs: number }; completedThrough: number; retryWaiting: () => void; holdUps: LegHoldUps };

beforeEach(() => {
  session = new ScriptedSession();
  wallMs = 0;
  leg = new Leg(0, memberOf(1), session.shared, SILENT_LOGGER, () => ++wallMs);
  leg.setState('NORMAL', 'enabled');
  epoch = 1;
  heard = [];
  marks = [];
  majority = false;
  marks = [];
  told = [];
  witness = null;
  refusal = '';
  engine = {
    gate: { readsUntilMs: 0 },
    completedThrough: 7,
    retryWaiting: () => void heard.push('drain'),
    holdUps: new LegHoldUps({ slowFactor: null, slowForMs: 1_000 }),
  };
  renewal = new Renewal({
    log: SILENT_LOGGER,
    poolUuid: POOL,
    clientInstance: CLIENT,
    versions: {
      get majority() {
        return majority;
      },
      isMajority: (ids) => ids.size >= 2,
      witnessReady: true,
      heard: (from, { age }) => void told.push([from.member.memberId, age]),
      marks: () => marks,
    },
    engine,
    epoch: () => epoch,
    inSyncLegs: () => [leg],
    witness: () => witness,
    onFenced: () => void heard.push('fenced'),
    onRefused: () => void heard.push('refused'),
    onAsked: ({ clientName, evenIfInUse }) => {
      heard.push(`asked by ${clientName}${evenIfInUse ? ', even if in use' : ''}`);
      return refusal;
    },
  });
});

const promiseOf = (clientInstance: string) => ({ epoch: 2, clientInstance, clientName: 'client' });

describe('renewal (C3)', () => {
  test('members are asked every so often, and an answer that all is well changes nothing', () => {
    renewal.tick(RENEW_MS);
    renewal.tick(RENEW_MS + 1);
    expect(session.ops).toEqual(['renew']);
    session.next('renew').answer({ mark: MARK });
    renewal.tick(2 * RENEW_MS);
    expect([session.ops, heard]).toEqual([['renew'], []]);
  });

  test('what a member says of its disk is known until it says something else', () => {
    renewal.tick(RENEW_MS);
    session.next('renew').answer({ mark: MARK, disk: 'is running out of space' });
    expect(leg.diskTrouble).toBe('is running out of space');
    renewal.tick(2 * RENEW_MS);
    session.next('renew').answer({ mark: MARK });
    expect(leg.diskTrouble).toBe('');
  });

  test('a member that has promised itself to somebody else fences the client; one that is out of service is a leg failure', () => {
    renewal.tick(RENEW_MS);
    session.next('renew').refuse('STALE_EPOCH', 'epoch 2 is promised', promiseOf('00000000-0000-4000-8000-00000000ffff'));
    renewal.tick(2 * RENEW_MS);
    session.next('renew').refuse('BAD_STATE', 'NO_IO');
    expect(heard).toEqual(['fenced', 'refused']);
  });

  test("a refusal because of this client's own newer claim is late, and nothing else", () => {
    renewal.tick(RENEW_MS);
    epoch = 2;
    session.next('renew').refuse('STALE_EPOCH', 'epoch 2 is promised', promiseOf(CLIENT));
    renewal.tick(2 * RENEW_MS);
    leg.setState('FAILED', 'cut');
    leg.setState('RECONNECTING', 'back');
    leg.setState('NORMAL', 'enabled');
    session.next('renew').refuse('BAD_STATE', 'NO_IO');
    expect(heard).toEqual([]);
  });
});

describe('another client asks for the pool (C4)', () => {
  const asked = { clientName: 'client-2', evenIfInUse: false };

  test('it is told, and the member hears what it refuses with, as long as it is asked', () => {
    refusal = 'an NBD client is connected to it there';
    renewal.tick(RENEW_MS);
    session.next('renew').answer({ mark: MARK, asked });
    renewal.tick(2 * RENEW_MS);
    const question = session.next('renew');
    expect(question.request).toMatchObject({ handoverRefusal: refusal });
    question.answer({ mark: MARK });
    renewal.tick(3 * RENEW_MS);
    expect({ heard, refusal: session.next('renew').request.handoverRefusal }).toEqual({ heard: ['asked by client-2'], refusal: undefined });
  });

  test('what is handed over is refused no more', () => {
    refusal = 'an NBD client is connected to it there';
    renewal.tick(RENEW_MS);
    session.next('renew').answer({ mark: MARK, asked });
    refusal = '';
    renewal.tick(2 * RENEW_MS);
    session.next('renew').answer({ mark: MARK, asked: { ...asked, evenIfInUse: true } });
    renewal.tick(3 * RENEW_MS);
    expect({ heard, refusal: session.next('renew').request.handoverRefusal }).toEqual({
      heard: ['asked by client-2', 'asked by client-2, even if in use'],
      refusal: undefined,
    });
  });
});

describe('how old stores are (L8)', () => {
  test('members hear of the stores of all, and what they tell of theirs is remembered', () => {
    marks = [{ memberId: 2, storeUuid: storeOf(2), seen: seenOf(7) }];
    renewal.tick(RENEW_MS);
    const call = session.next('renew');
    expect(call.request.marks).toEqual(marks);
    call.answer({ mark: { ...MARK, age: 30 } });
    expect(told).toEqual([[1, 30]]);
  });

  test('what a member has told before it left, or before a newer claim, may be of another life: it is not remembered', () => {
    renewal.tick(RENEW_MS);
    const before = session.next('renew');
    leg.setState('FAILED', 'cut');
    before.answer({ mark: MARK });
    renewal.tick(2 * RENEW_MS);
    const older = session.next('renew');
    epoch = 2;
    older.answer({ mark: MARK });
    expect(told).toEqual([]);
  });

  test('a refusal tells nothing of its age', () => {
    renewal.tick(RENEW_MS);
    session.next('renew').refuse('BAD_STATE', 'NO_IO');
    expect([told, heard]).toEqual([[], ['refused']]);
  });
});

describe('the lease that reads are answered under (quorum, I7)', () => {
  let arbiter: ScriptedSession;

  beforeEach(() => {
    arbiter = new ScriptedSession();
    witness = new Leg(7, memberOf(9), arbiter.shared, SILENT_LOGGER, () => 0);
    majority = true;
  });

  test('there is none until a majority has answered, the witness included; it runs from when it was asked', () => {
    renewal.begin(10_000);
    expect(engine.gate.readsUntilMs).toBe(Number.NEGATIVE_INFINITY);
    session.next('renew').answer({ mark: MARK });
    expect(engine.gate.readsUntilMs).toBe(Number.NEGATIVE_INFINITY);
    heard = [];
    arbiter.next('renew').answer({ mark: MARK });
    expect([engine.gate.readsUntilMs, heard]).toEqual([10_000 + LEASE_MS, ['drain']]);
  });

  test('each question counts by itself, and a late answer shortens nothing', () => {
    renewal.begin(10_000);
    const first = [session.next('renew'), arbiter.next('renew')] as const;
    first[0].answer({ mark: MARK });
    renewal.tick(11_000);
    session.next('renew').answer({ mark: MARK });
    expect(engine.gate.readsUntilMs).toBe(Number.NEGATIVE_INFINITY);
    arbiter.next('renew').answer({ mark: MARK });
    first[1].answer({ mark: MARK });
    expect(engine.gate.readsUntilMs).toBe(11_000 + LEASE_MS);
  });

  test('an answer to an earlier epoch, or a refusal, confirms nothing; a witness that has somebody else fences', () => {
    renewal.begin(10_000);
    epoch = 2;
    session.next('renew').answer({ mark: MARK });
    arbiter.next('renew').answer({ mark: MARK });
    renewal.tick(11_000);
    session.next('renew').answer({ mark: MARK });
    arbiter.next('renew').refuse('BAD_STATE', 'CREATED');
    expect([engine.gate.readsUntilMs, heard]).toEqual([Number.NEGATIVE_INFINITY, ['drain']]);
    renewal.tick(12_000);
    arbiter.next('renew').refuse('STALE_EPOCH', 'epoch 3 is promised', promiseOf('00000000-0000-4000-8000-00000000ffff'));
    expect(heard).toEqual(['drain', 'fenced']);
  });

  test('where no majority decides, reads need none, from the version on that says so', () => {
    renewal.begin(10_000);
    majority = false;
    renewal.extend();
    expect(engine.gate.readsUntilMs).toBe(Number.POSITIVE_INFINITY);
  });
});
