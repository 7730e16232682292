// What the program shows and the test checks.
import { createHash, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type Logger, MIB, OperationError } from '@rmr/runtime';
import { LogClient, LogNode, type LogNodeOptions } from './node.ts';
import { ReplicatedLog } from './replicated-log.ts';

/** Where a life takes place, and to whom it is told. */
export interface Life {
  /** An empty folder, for the copies of the log. */
  readonly folder: string;
  readonly log: Logger;
  readonly say: (line: string) => void;
}

const MEMBER_IDS = [1, 2, 3];
const KEYS = 200;
/** Within this time, in milliseconds, each step has happened, even on a busy machine. */
const STEP_MS = 30_000;

/** Goes through the life of a log. Rejects with an OperationError when a step does not happen or a value is not the one that was put. */
export async function runLife({ folder, log, say }: Life): Promise<void> {
  const [hostUuid, poolUuid] = [randomUUID(), randomUUID()];
  const nodeOptions = (memberId: number): LogNodeOptions => ({
    ...{ name: `node-${memberId}`, hostUuid: randomUUID(), poolUuid, memberId, log, sizeBytes: 64 * MIB },
    ...{ file: join(folder, `copy-${memberId}.rmr`), listen: `unix:${join(folder, `node-${memberId}.sock`)}` },
  });
  const options = new Map(MEMBER_IDS.map((memberId) => [memberId, nodeOptions(memberId)]));
  const nodes = new Map<number, LogNode>();
  const start = async (memberId: number): Promise<void> => {
    nodes.set(memberId, await LogNode.start(options.get(memberId) as LogNodeOptions));
  };
  const stop = async (memberId: number): Promise<void> => {
    await nodes.get(memberId)?.stop();
    nodes.delete(memberId);
  };
  const members = [...options.values()].map(({ memberId, name, listen }) => ({ memberId, name, addresses: [listen] }));
  let client: LogClient | null = null;
  try {
    for (const memberId of MEMBER_IDS) await start(memberId);
    client = await LogClient.open({ name: 'client', hostUuid, poolUuid, log, members, create: true });
    const kv = await ReplicatedLog.open(client.pool);

    await Promise.all(Array.from({ length: KEYS }, (_, index) => kv.put(keyOf(index), bytesFor(index, 1))));
    say(`${KEYS} keys are on ${MEMBER_IDS.length} copies, which take ${(await client.usage()).join(', ')} bytes`);

    await stop(3);
    await Promise.all(Array.from({ length: KEYS }, (_, index) => (index % 2 === 0 ? kv.put(keyOf(index), bytesFor(index, 2)) : null)));
    await kv.delete(keyOf(1));
    say('node 3 was stopped, and half of the values were changed without it');

    await start(3);
    await until('node 3 to have what it missed', () => isWhole(client as LogClient));
    say('node 3 was started again, and has fetched what it had missed');

    await stop(1);
    await stop(2);
    await check(kv);
    say('nodes 1 and 2 were stopped: node 3 alone has every value');

    await client.stop();
    client = null;
    client = await LogClient.open({ name: 'another client', hostUuid, poolUuid, log, members, create: false });
    const again = await ReplicatedLog.open(client.pool);
    await check(again);
    await again.put(keyOf(1), bytesFor(1, 3));
    say(`another client has read the log from node 3, found ${KEYS - 1} keys, and goes on`);
  } finally {
    await client?.stop();
    for (const memberId of [...nodes.keys()]) await stop(memberId);
  }
}

function keyOf(index: number): string {
  return `key ${index}`;
}

/** 1 to 20,000 bytes that nobody else has. */
function bytesFor(index: number, generation: number): Uint8Array {
  const seed = createHash('sha512').update(`${index} ${generation}`).digest();
  return Buffer.alloc(1 + ((index * 7919 * generation) % 20_000), seed);
}

/** Rejects with IO_ERROR if the log has not what was put last. */
async function check(log: ReplicatedLog): Promise<void> {
  for (let index = 0; index < KEYS; index++) {
    const expected = index === 1 ? null : bytesFor(index, index % 2 === 0 ? 2 : 1);
    const found = await log.get(keyOf(index));
    const isRight = expected === null ? found === null : found !== null && Buffer.compare(expected, found) === 0;
    if (!isRight) throw new OperationError('IO_ERROR', `"${keyOf(index)}" has another value than the one that was put last`);
  }
}

/** Whether every member is in the in-sync set and lacks nothing. */
function isWhole({ pool }: LogClient): boolean {
  return pool.status().legs.every(({ inSync, dirtyBytes }) => inSync && dirtyBytes === 0);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const endMs = performance.now() + STEP_MS; !holds(); ) {
    if (performance.now() > endMs) throw new OperationError('TIMEOUT', `waited ${STEP_MS / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
