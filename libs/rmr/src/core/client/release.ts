import type { Logger } from '@rmr/runtime';
import { emptyResultSchema, markResultSchema } from '../../wire/control-message.ts';
import type { Leg } from './legs/leg.ts';
import type { Versions } from './versions/versions.ts';

/**
 * Releases the members: nothing is in flight on them, and everything is durable, so they need not reconcile. L8: before that, each store
 * becomes older than any copy that lacks something of it. With the release each member hears how old the others are. `done` is called in
 * every case.
 */
export function releaseMembers(host: ReleaseHost, done: () => void): void {
  const { legs, versions, poolUuid, epoch, log } = host;
  let left = legs.length;
  if (left === 0) done();
  for (const leg of legs) {
    leg.call({ op: 'age', poolUuid, epoch }, markResultSchema, (result, failure) => {
      if (result !== null) versions.heard(leg, result.mark);
      else log.warn('a member did not say how old its store is', { ...whose(leg), reason: failure?.message });
      if (--left === 0) releaseAged(host, done);
    });
  }
}

function releaseAged({ legs, versions, poolUuid, epoch, log, witness }: ReleaseHost, done: () => void): void {
  const marks = versions.marks();
  // The witness has a say later on which stores went back in time.
  if (witness?.connected === true && versions.witnessReady)
    witness.call({ op: 'renew', poolUuid, epoch, completedThrough: 0, marks }, markResultSchema, () => {});
  let left = legs.length;
  for (const leg of legs) {
    leg.call({ op: 'release', poolUuid, epoch, marks }, emptyResultSchema, (_result, failure) => {
      if (failure !== null) log.warn('a member could not be released', { ...whose(leg), reason: failure.message });
      if (--left === 0) done();
    });
  }
}

/** For log lines: the member. */
function whose({ member }: Leg): { readonly member: number; readonly node: string } {
  return { member: member.memberId, node: member.name };
}

/** Tells a member, if it can be reached, that it is out of the set (L1). */
export function disableMember(leg: Leg, poolUuid: string, epoch: number, log: Logger): void {
  if (!leg.connected) return;
  leg.call({ op: 'disable', poolUuid, epoch }, emptyResultSchema, (_result, failure) => {
    if (failure === null) return;
    const fields = { member: leg.member.memberId, node: leg.member.name, reason: failure.message };
    log.warn('a member that left the in-sync set could not be told', fields);
  });
}

/** What {@link releaseMembers} needs. */
export interface ReleaseHost {
  readonly log: Logger;
  readonly poolUuid: string;
  readonly epoch: number;
  readonly versions: Pick<Versions, 'heard' | 'marks' | 'witnessReady'>;
  /** The legs that are NORMAL. */
  readonly legs: readonly Leg[];
  readonly witness: Leg | null;
}
