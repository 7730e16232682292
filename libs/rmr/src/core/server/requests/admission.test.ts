import type { RtrsServerRequest, RtrsServerSession } from '@rmr/rtrs';
import { Status } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { CLIENT, identityOf } from '../../../testing/scripted-pool.ts';
import { ScriptedStore } from '../../../testing/scripted-store.ts';
import { IoMessage, MessageType } from '../../../wire/io-message.ts';
import { Serving } from '../serving.ts';
import { admission } from './admission.ts';

const CHUNK = 4096;
const DEVICE = 64 * CHUNK;
let store: ScriptedStore;
let serving: Serving;
const holder = {} as RtrsServerSession;

/** What is said of a read of epoch 3 and version 5, unless told otherwise. */
function said(fields: Partial<IoMessage> = {}, payload: Uint8Array | null = null, session = holder): number {
  const message = Object.assign(new IoMessage(), { type: MessageType.READ, lengthBytes: CHUNK, epoch: 3, versionSeq: 5 }, fields);
  return admission({ payload, session } as RtrsServerRequest, message, store, serving);
}

beforeEach(() => {
  const world = new VirtualWorld();
  store = new ScriptedStore(identityOf(1, 64, CHUNK));
  store.promise = { epoch: 3, clientInstance: CLIENT, clientName: 'c' };
  serving = new Serving(world.clock, world.log, 5);
  serving.epoch = 3;
  serving.holder = holder;
  serving.enabledSeq = 2;
  serving.horizon = 100;
  serving.setState('NO_IO', 'claimed');
  serving.setState('NORMAL', 'enabled');
});

describe('admission: what can not be', () => {
  test('EINVAL: one byte beyond the device; its last byte is within', () => {
    expect(said({ offsetBytes: DEVICE - CHUNK })).toBe(Status.OK);
    expect(said({ offsetBytes: DEVICE - CHUNK + 1 })).toBe(Status.EINVAL);
  });

  test('EPROTO: data that does not fit the length, or comes with what is no write', () => {
    expect(said({ type: MessageType.WRITE }, new Uint8Array(CHUNK))).toBe(Status.OK);
    expect(said({ type: MessageType.WRITE }, new Uint8Array(CHUNK - 1))).toBe(Status.EPROTO);
    expect(said({ type: MessageType.WRITE })).toBe(Status.EPROTO);
    for (const type of [MessageType.READ, MessageType.DISCARD, MessageType.SYNC_READ])
      expect(said({ type }, new Uint8Array(CHUNK))).toBe(Status.EPROTO);
  });

  test('EPROTO: an IO unit beyond the queue depth', () => {
    expect([said({ ioUnit: 15 }), said({ ioUnit: 16 })]).toEqual([Status.OK, Status.EPROTO]);
  });
});

describe('admission: sessions (I10)', () => {
  test('ENOTNORMAL: IO that comes in on another session than that of the claim, though its epoch and version are right', () => {
    expect(said({}, null, {} as RtrsServerSession)).toBe(Status.ENOTNORMAL);
    expect(said({ type: MessageType.WRITE }, new Uint8Array(CHUNK), {} as RtrsServerSession)).toBe(Status.ENOTNORMAL);
  });

  test('what another storage node pulls comes in on sessions of its own', () => {
    expect(said({ type: MessageType.SYNC_READ }, null, {} as RtrsServerSession)).toBe(Status.OK);
  });
});

describe('admission: epochs (I7)', () => {
  test('ESTALE: every other epoch while one is served', () => {
    expect([said({ epoch: 2 }), said({ epoch: 3 }), said({ epoch: 4 })]).toEqual([Status.ESTALE, Status.OK, Status.ESTALE]);
  });

  test('while none is served, ENOTNORMAL for those that were not promised away, ESTALE for those that were', () => {
    serving.end(Status.ENOTNORMAL);
    expect([said({ epoch: 2 }), said({ epoch: 3 }), said({ epoch: 4 })]).toEqual([Status.ESTALE, Status.ENOTNORMAL, Status.ENOTNORMAL]);
    store.promise = null;
    expect(said({ epoch: 1 })).toBe(Status.ENOTNORMAL);
  });

  test('ENOTNORMAL: the epoch alone is not enough', () => {
    serving.setState('NO_IO', 'out of the set');
    expect([said(), said({ type: MessageType.SYNC_READ })]).toEqual([Status.ENOTNORMAL, Status.ENOTNORMAL]);
  });
});

describe('admission: versions', () => {
  test('EVERSION: one of the future, and one from before the member was enabled (L3)', () => {
    const seqs = [1, 2, 4, 5, 6].map((versionSeq) => said({ versionSeq }));
    expect(seqs).toEqual([Status.EVERSION, Status.OK, Status.OK, Status.OK, Status.EVERSION]);
  });

  test('W6: an older write up to the horizon, and no other one; the horizon is not for the present version, nor for reads', () => {
    const discard = { type: MessageType.DISCARD };
    expect([said({ ...discard, versionSeq: 4, writeSeq: 100 }), said({ ...discard, versionSeq: 4, writeSeq: 101 })]).toEqual([
      Status.OK,
      Status.EVERSION,
    ]);
    expect([said({ ...discard, writeSeq: 101 }), said({ versionSeq: 4, writeSeq: 101 })]).toEqual([Status.OK, Status.OK]);
  });

  test('R1: a sync read is of the very epoch and version', () => {
    const sync = (fields: Partial<IoMessage>): number => said({ type: MessageType.SYNC_READ, ioUnit: 16, ...fields });
    expect(sync({})).toBe(Status.OK);
    expect([sync({ versionSeq: 4 }), sync({ versionSeq: 6 }), sync({ epoch: 2 }), sync({ epoch: 4 })]).toEqual([
      Status.EVERSION,
      Status.EVERSION,
      Status.EVERSION,
      Status.EVERSION,
    ]);
  });
});
