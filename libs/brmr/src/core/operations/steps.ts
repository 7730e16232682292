/**
 * Steps that several operations have in common. Every step looks at what is there before it does anything, so that it can be begun again
 * after a crash of anybody; and it never waits by itself: where something has to happen first, the step ends with `retry` and is run anew.
 */
import type { StepDone, StepEnd } from '@rmr/operations';
import { OperationError } from '@rmr/runtime';
import { type NodePlace, sendCommand } from '../commands/node-commander.ts';
import type { NodeAnswer, StoreOrder } from '../commands/node-commands.ts';
import type { OperatedPool, VolumeHost } from './volume-host.ts';

/** How soon a step that waits looks again, in milliseconds: for what goes on by itself, and for a node that does not answer. */
export const LOOK_MS = 50;
export const AWAY_MS = 2_000;

export const DONE: StepEnd = { end: 'done' };

export function failed(error: OperationError): StepEnd {
  return { end: 'failed', error };
}

/** A store of an operation, and where it is. */
export interface PlacedStore extends NodePlace {
  readonly memberId: number;
  readonly storeUuid: string;
  readonly disk: string;
}

/** Has a storage node make a store and open it, and ends once the store is open. */
export function makeStore(host: VolumeHost, place: NodePlace, order: StoreOrder, done: StepDone): void {
  sendCommand(host.way, place, { do: 'create', store: order }, (answer) => {
    if (answer instanceof OperationError) done(unlessAway(place, answer, `to make its store on ${order.disk}`));
    else if (answer.state === 'OPEN') done(DONE);
    else done({ end: 'retry', what: `${place.node} to make the store on ${order.disk}${because(answer.reason)}`, afterMs: LOOK_MS });
  });
}

/** Has a storage node destroy a store, and ends once it is gone. */
export function destroyStore(host: VolumeHost, place: NodePlace, storeUuid: string, poolUuid: string, done: StepDone): void {
  sendCommand(host.way, place, { do: 'delete', storeUuid, poolUuid }, (answer) => {
    if (answer instanceof OperationError) done(unlessAway(place, answer, 'to destroy its store'));
    else if (answer.state === 'ABSENT') done(DONE);
    else done({ end: 'retry', what: `${place.node} to destroy its store${because(answer.reason)}`, afterMs: LOOK_MS });
  });
}

/** Has a storage node close a store or open it again, and ends once that is so. */
export function setStoreOpen(host: VolumeHost, place: NodePlace, storeUuid: string, poolUuid: string, open: boolean, done: StepDone): void {
  sendCommand(host.way, place, { do: open ? 'open' : 'close', storeUuid, poolUuid }, (answer) => {
    const wanted = open ? 'OPEN' : 'CLOSED';
    if (answer instanceof OperationError) done(unlessAway(place, answer, `to ${open ? 'open' : 'close'} its store`));
    else if (answer.state === wanted || (answer.state === 'ABSENT' && !open)) done(DONE);
    else done({ end: 'retry', what: `${place.node} to ${open ? 'open' : 'close'} its store${because(answer.reason)}`, afterMs: LOOK_MS });
  });
}

/** Runs `one` for each item, side by side, and ends when all have ended: with a failure before a wait before success. */
export function forEachOf<T>(items: readonly T[], one: (item: T, done: StepDone) => void, done: StepDone): void {
  const ends: StepEnd[] = [];
  if (items.length === 0) done(DONE);
  for (const item of items) {
    one(item, (end) => {
      ends.push(end);
      if (ends.length < items.length) return;
      done(ends.find((each) => each.end === 'failed') ?? ends.find((each) => each.end === 'retry') ?? DONE);
    });
  }
}

/** Asks storage nodes what disks they have. `then` gets the answers in the order of the places; without all of them, the step ends. */
export function lookAt(
  host: VolumeHost,
  places: readonly NodePlace[],
  then: (looks: readonly NodeAnswer<'look'>[]) => void,
  done: StepDone,
): void {
  const looks: (NodeAnswer<'look'> | OperationError)[] = [];
  let left = places.length;
  for (const [index, place] of places.entries()) {
    sendCommand(host.way, place, { do: 'look' }, (look) => {
      looks[index] = look;
      if (--left > 0) return;
      const failedAt = looks.findIndex((each) => each instanceof OperationError);
      if (failedAt < 0) then(looks as NodeAnswer<'look'>[]);
      else done(unlessAway(places[failedAt] as NodePlace, looks[failedAt] as OperationError, 'to say what disks it has'));
    });
  }
}

/** Ends once a member is in sync and has nothing left to pull. Tells the progress: bytes that are copied, of those that were missed. */
export function followResync(
  pool: OperatedPool | null,
  memberId: number,
  missedBytes: number,
  progress: (done: number, total: number) => void,
  done: StepDone,
): void {
  const leg = pool?.status().legs.find((each) => each.memberId === memberId);
  if (leg === undefined) {
    done({ end: 'retry', what: `the volume to be served with member ${memberId}`, afterMs: LOOK_MS });
    return;
  }
  const whom = `member ${memberId} (${leg.name})`;
  const left = leg.dirtyBytes;
  if (left !== null) progress(Math.max(0, missedBytes - left), Math.max(missedBytes, left));
  if (leg.state === 'NORMAL' && left === 0) done(DONE);
  else if (leg.state === 'NORMAL') done({ end: 'retry', what: `${whom} to copy what it misses`, afterMs: LOOK_MS });
  else {
    const { what = 'come back', remedy } = leg.waitingFor ?? {};
    done({ end: 'retry', what: `${whom}, which waits for ${what}`, ...(remedy === undefined ? {} : { remedy }), afterMs: LOOK_MS });
  }
}

/** The end of a step whose command failed: a node that can't be reached is waited for. */
export function unlessAway({ node }: NodePlace, error: OperationError, forWhat: string): StepEnd {
  if (error.code !== 'UNAVAILABLE' && error.code !== 'TIMEOUT') return failed(error);
  return {
    end: 'retry',
    what: `${node} ${forWhat}: ${error.message}`,
    remedy: `Start ${node} or its host, or mend the network to it, unless it comes back by itself.`,
    afterMs: AWAY_MS,
  };
}

function because(reason: string): string {
  return reason === '' ? '' : `: ${reason}`;
}
