import type { Logger } from '@rmr/runtime';
import { LEASE_MS, RENEW_MS } from '../../constants.ts';
import { markResultSchema } from '../../wire/control-message.ts';
import { isFenced } from '../control-call.ts';
import type { IoEngine } from './io-engine.ts';
import type { Leg } from './leg.ts';
import type { Versions } from './versions.ts';

/** What a renewal needs from its pool. */
export interface RenewalHost {
  readonly log: Logger;
  readonly poolUuid: string;
  readonly clientInstance: string;
  readonly versions: Pick<Versions, 'majority' | 'isMajority' | 'witnessReady' | 'heard' | 'marks'>;
  readonly engine: Pick<IoEngine, 'readsUntilMs' | 'retryWaiting' | 'holdUps'>;
  readonly epoch: () => number;
  /** The legs that are NORMAL. */
  readonly inSyncLegs: () => readonly Leg[];
  readonly witness: () => Leg | null;
  readonly onFenced: (by: string) => void;
  /** The member does not serve this client any more. */
  readonly onRefused: (leg: Leg, reason: string) => void;
}

/**
 * Asks the members whether they still serve this client: one that does no IO would not notice otherwise (C3, truth of status).
 * With the question they hear how old the stores of the others are, and with the answer they tell how old theirs is (L8).
 *
 * Where a majority decides, another client may be granted the pool without members that this one reads from. So reads are
 * answered under a lease only: for a time after a majority was asked and has answered. A new client waits for longer than
 * that after its grants, and one of those who granted had to answer here too (I7).
 */
export class Renewal {
  readonly #host: RenewalHost;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** When the newest question was asked that a majority has answered. */
  #confirmedMs = Number.NEGATIVE_INFINITY;

  constructor(host: RenewalHost) {
    this.#host = host;
  }

  /** The pool is served from now on. */
  begin(nowMs: number): void {
    this.#askedMs = Number.NEGATIVE_INFINITY;
    this.extend();
    this.tick(nowMs);
  }

  /** The policy, or what a majority has answered, may be another one. */
  extend(): void {
    const { engine, versions } = this.#host;
    engine.readsUntilMs = versions.majority ? this.#confirmedMs + LEASE_MS : Number.POSITIVE_INFINITY;
    engine.retryWaiting();
  }

  /** Called again and again while the pool is served. */
  tick(nowMs: number): void {
    if (nowMs - this.#askedMs < RENEW_MS) return;
    this.#askedMs = nowMs;
    const { versions, inSyncLegs, witness } = this.#host;
    const confirmed = new Set<number>();
    const onConfirmed = (leg: Leg): void => {
      confirmed.add(leg.member.memberId);
      if (nowMs <= this.#confirmedMs || !versions.isMajority(confirmed)) return;
      this.#confirmedMs = nowMs;
      this.extend();
    };
    for (const leg of inSyncLegs()) this.#ask(leg, onConfirmed);
    const arbiter = witness();
    if (arbiter?.connected === true && versions.witnessReady) this.#ask(arbiter, onConfirmed);
  }

  /** Logs what is wrong with a member's disk, when that begins and when it ends: only its node knows. */
  #noteDisk(leg: Leg, trouble: string): void {
    const { memberId: member, name: node } = leg.member;
    if (trouble !== '' && leg.diskTrouble === '')
      this.#host.log.warn('something is wrong with the disk of a member', { member, node, what: trouble });
    else if (trouble === '' && leg.diskTrouble !== '')
      this.#host.log.info('nothing is wrong with the disk of a member any more', { member, node });
    leg.diskTrouble = trouble;
  }

  #ask(leg: Leg, onConfirmed: (leg: Leg) => void): void {
    const host = this.#host;
    const { sinceMs } = leg;
    const epoch = host.epoch();
    leg.call({ op: 'renew', poolUuid: host.poolUuid, epoch, marks: host.versions.marks() }, markResultSchema, (result, failure) => {
      // An answer to a question from before this client's own newer claim is late.
      if (epoch !== host.epoch()) return;
      if (result !== null) {
        if (leg !== host.witness()) host.engine.holdUps.heard(leg.index);
        if (leg.sinceMs === sinceMs) host.versions.heard(leg, result.mark);
        this.#noteDisk(leg, result.disk ?? '');
        onConfirmed(leg);
        return;
      }
      // So is one from before the leg left and came back.
      const isWitness = leg === host.witness();
      if ((!isWitness && leg.state !== 'NORMAL') || leg.sinceMs !== sinceMs || failure?.failure == null) return;
      if (isFenced(failure.failure, host.clientInstance)) host.onFenced(failure.message);
      else if (!isWitness) host.onRefused(leg, failure.message);
    });
  }
}
