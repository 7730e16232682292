import { OperationError } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { commandService, type NodeStores } from './command-service.ts';
import { type CommandWay, sendCommand } from './node-commander.ts';
import { encodeAnswer, type NodeCommand, type StoreOrder } from './node-commands.ts';

const uuid = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;
const ORDER: StoreOrder = {
  disk: 'ssd',
  storeUuid: uuid(1),
  poolUuid: uuid(2),
  poolName: 'demo',
  memberId: 1,
  lineageUuid: uuid(3),
  sizeBytes: 1024 * 1024,
  chunkSizeBytes: 65_536,
  queueDepth: 128,
  witness: false,
};
const NODE = { node: 'storage-1', addresses: ['tcp://127.0.0.1:4810'] };
const LOOK = { hostName: 'storage-1', hostUuid: uuid(9), disks: [] };

let world: VirtualWorld;
let calls: string[];
let stores: NodeStores;

beforeEach(() => {
  world = new VirtualWorld(1);
  calls = [];
  stores = {
    look: (done) => done(LOOK),
    create: (order, by, done) => {
      calls.push(`create ${order.storeUuid} for ${by}`);
      done({ state: 'OPEN', reason: '' });
    },
    close: (_storeUuid, _poolUuid, _by, done) => done({ state: 'CLOSED', reason: 'closed by an operator' }),
    open: (_storeUuid, _poolUuid, _by, done) => done({ state: 'OPEN', reason: '' }),
    delete: (storeUuid, poolUuid, by, done) => {
      calls.push(`delete ${storeUuid} of ${poolUuid} for ${by}`);
      done(new OperationError('CONFLICT', `store ${storeUuid} is of another pool`));
    },
    orderResync: (_poolUuid, change, _by, done) => done({ paused: false, rateBytes: null, ...change }),
  };
});

/** The way of RMR, without RMR: what the node answers is what comes. `answer` replaces it. */
function way(answer?: string): CommandWay {
  return {
    command: (_addresses, _whom, text, done) => {
      world.after(1, () => {
        if (answer === undefined) commandService(world.log, stores)('client-1', text, done);
        else done(answer);
      });
    },
  };
}

function send(command: NodeCommand, by: CommandWay = way()): unknown {
  let result: unknown;
  sendCommand(by, NODE, command, (outcome) => {
    expect(result).toBeUndefined();
    result = outcome;
  });
  expect(result).toBeUndefined();
  world.run(10);
  return result;
}

describe('commands to storage nodes', () => {
  test('each reaches the one method that carries it out, with the name of the client, and its answer comes back', () => {
    expect(send({ do: 'look' })).toEqual(LOOK);
    expect(send({ do: 'create', store: ORDER })).toEqual({ state: 'OPEN', reason: '' });
    expect(send({ do: 'close', storeUuid: uuid(1), poolUuid: uuid(2) })).toEqual({ state: 'CLOSED', reason: 'closed by an operator' });
    expect(send({ do: 'open', storeUuid: uuid(1), poolUuid: uuid(2) })).toEqual({ state: 'OPEN', reason: '' });
    expect(send({ do: 'resync', poolUuid: uuid(2), paused: true })).toEqual({ paused: true, rateBytes: null });
    expect(send({ do: 'resync', poolUuid: uuid(2), rateBytes: 4096 })).toEqual({ paused: false, rateBytes: 4096 });
    expect(calls).toEqual([`create ${uuid(1)} for client-1`]);
  });

  test('a refusal keeps its code, and names the node', () => {
    expect(send({ do: 'delete', storeUuid: uuid(1), poolUuid: uuid(2) })).toMatchObject({
      code: 'CONFLICT',
      message: `storage-1: store ${uuid(1)} is of another pool`,
    });
    expect(calls).toEqual([`delete ${uuid(1)} of ${uuid(2)} for client-1`]);
  });

  test.each([
    ['no JSON', '{'],
    ['an unknown command', '{"do":"format"}'],
    ['a key too many', '{"do":"look","why":1}'],
    ['a UUID that is none', JSON.stringify({ do: 'delete', storeUuid: 'x', poolUuid: uuid(2) })],
    ['a path in place of a UUID', JSON.stringify({ do: 'delete', storeUuid: '../../etc/passwd', poolUuid: uuid(2) })],
    ['a size that is no number', JSON.stringify({ do: 'create', store: { ...ORDER, sizeBytes: '1' } })],
    ['a size below one', JSON.stringify({ do: 'create', store: { ...ORDER, sizeBytes: 0 } })],
    ['member 0', JSON.stringify({ do: 'create', store: { ...ORDER, memberId: 0 } })],
    ['nothing', ''],
    ['too much', JSON.stringify({ do: 'look', more: 'x'.repeat(200_000) })],
  ])('%s is refused, and nothing is carried out', (_what, text) => {
    let answer = '';
    commandService(world.log, stores)('client-1', text, (given) => {
      answer = given;
    });
    expect(JSON.parse(answer)).toMatchObject({ refusal: { code: 'INVALID_ARGUMENT', sentence: expect.stringContaining('understood') } });
    expect(calls).toEqual([]);
  });

  test.each([
    ['no JSON', 'OK'],
    ['neither a result nor a refusal', '{}'],
    ['a result of another command', encodeAnswer<'look'>(LOOK)],
    ['an unknown state', '{"result":{"state":"MAYBE","reason":""}}'],
    ['an unknown code', '{"refusal":{"code":"OOPS","sentence":"x"}}'],
  ])('an answer that is %s counts as none', (_what, answer) => {
    expect(send({ do: 'create', store: ORDER }, way(answer))).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/^storage-1 answered the command create with something malformed/),
    });
  });

  test('a sentence of any length is carried', () => {
    stores = { ...stores, look: (done) => done(new OperationError('IO_ERROR', 'x'.repeat(10_000))) };
    expect(send({ do: 'look' })).toMatchObject({ code: 'IO_ERROR' });
  });
});
