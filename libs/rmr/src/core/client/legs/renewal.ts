import type { Logger } from '@rmr/runtime';
import { LEASE_MS, RENEW_MS } from '../../../constants.ts';
import { HANDOVER_TEXT_MAX, type HandoverWish, markResultSchema } from '../../../wire/control-message.ts';
import { isFenced } from '../../control-call.ts';
import type { IoEngine } from '../io/io-engine.ts';
import type { IoGate } from '../io/io-gate.ts';
import type { Versions } from '../versions/versions.ts';
import type { Leg } from './leg.ts';

/**
 * Asks the members every second whether they still serve this client. A client that does no IO would not notice otherwise that another
 * one was granted the pool (C3). With the question the members hear how old the others' stores are, and with the answer they tell how
 * old their own store is (L8). They also hear which writes are resolved (W7), as nothing else tells them in an idle pool (W10).
 *
 * With quorum `majority`, another client may be granted the pool without members that this client reads from. So reads are answered only
 * under a lease: for a time after a majority was asked, if it has answered. A new client waits for longer than that after its grants.
 * One of the members that granted to it would have had to answer here, too (I7).
 */
export class Renewal {
  readonly #host: RenewalHost;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** When the newest question that a majority has answered was asked, in clock milliseconds. */
  #confirmedMs = Number.NEGATIVE_INFINITY;
  /** C4: why the pool is not handed over to the client that asks a member for it, by member. */
  readonly #refusals = new Map<Leg, string>();

  constructor(host: RenewalHost) {
    this.#host = host;
  }

  /** The pool is served from now on. */
  begin(nowMs: number): void {
    this.#askedMs = Number.NEGATIVE_INFINITY;
    this.#refusals.clear();
    this.extend();
    this.tick(nowMs);
  }

  /** Sets the end of the lease. Called when the policy or the newest answer of a majority may have changed. */
  extend(): void {
    const { engine, versions } = this.#host;
    engine.gate.readsUntilMs = versions.majority ? this.#confirmedMs + LEASE_MS : Number.POSITIVE_INFINITY;
    engine.retryWaiting();
  }

  /** Asks the members if it is time to. Called again and again while the pool is served. */
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

  /** Logs when something is wrong with a member's disk, and when that ends. Only the member's node knows. */
  #noteDisk(leg: Leg, trouble: string): void {
    const { memberId: member, name: node } = leg.member;
    if (trouble !== '' && leg.diskTrouble === '')
      this.#host.log.warn('something is wrong with the disk of a member', { member, node, what: trouble });
    else if (trouble === '' && leg.diskTrouble !== '')
      this.#host.log.info('nothing is wrong with the disk of a member any more', { member, node });
    leg.diskTrouble = trouble;
  }

  /** C4: another client asks for the pool through this member, or does so no more. The member hears the answer with the next question. */
  #answerWish(leg: Leg, wish: HandoverWish | undefined): void {
    const refusal = wish === undefined ? '' : this.#host.onAsked(wish);
    if (refusal === '') this.#refusals.delete(leg);
    else this.#refusals.set(leg, refusal.slice(0, HANDOVER_TEXT_MAX));
  }

  #ask(leg: Leg, onConfirmed: (leg: Leg) => void): void {
    const host = this.#host;
    const { sinceMs } = leg;
    const epoch = host.epoch();
    const { completedThrough } = host.engine;
    const refusal = this.#refusals.get(leg);
    const handoverRefusal = refusal === undefined ? {} : { handoverRefusal: refusal };
    const marks = host.versions.marks();
    const question = { op: 'renew' as const, poolUuid: host.poolUuid, epoch, completedThrough, marks, ...handoverRefusal };
    leg.call(question, markResultSchema, (result, failure) => {
      // The question is older than this client's newest claim: the answer is late.
      if (epoch !== host.epoch()) return;
      if (result !== null) {
        if (leg !== host.witness()) host.engine.holdUps.heard(leg.index);
        if (leg.sinceMs === sinceMs) host.versions.heard(leg, result.mark);
        this.#noteDisk(leg, result.disk ?? '');
        this.#answerWish(leg, result.asked);
        onConfirmed(leg);
        return;
      }
      // The question is older than the leg's last return: the answer is late, too.
      const isWitness = leg === host.witness();
      if ((!isWitness && leg.state !== 'NORMAL') || leg.sinceMs !== sinceMs || failure?.failure == null) return;
      if (isFenced(failure.failure, host.clientInstance)) host.onFenced(failure.message);
      else if (!isWitness) host.onRefused(leg, failure.message);
    });
  }
}

/** What a renewal needs from its pool. */
export interface RenewalHost {
  readonly log: Logger;
  readonly poolUuid: string;
  readonly clientInstance: string;
  readonly versions: Pick<Versions, 'majority' | 'isMajority' | 'witnessReady' | 'heard' | 'marks'>;
  readonly engine: Pick<IoEngine, 'retryWaiting' | 'completedThrough' | 'holdUps'> & { readonly gate: Pick<IoGate, 'readsUntilMs'> };
  readonly epoch: () => number;
  /** The legs that are NORMAL. */
  readonly inSyncLegs: () => readonly Leg[];
  readonly witness: () => Leg | null;
  readonly onFenced: (by: string) => void;
  /** C4: another client asks for the pool. Returns why it does not get it; empty: it gets it, once the pool is released. */
  readonly onAsked: (wish: HandoverWish) => string;
  /** A member has answered that it does not serve this client any more. */
  readonly onRefused: (leg: Leg, reason: string) => void;
}
