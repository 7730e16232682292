import { HANDOVER_ASKED_MS } from '../../constants.ts';
import type { ControlRequest, HandoverWish } from '../../wire/control-message.ts';

type Question = ControlRequest & { readonly op: 'ask-handover' };

/**
 * C4: one client asks another to hand the pool over. The two have no session to one another, so this member carries the question to the
 * client that it serves, with the answer to its next renewal, and what that client refuses with back to the one that asks.
 *
 * Nothing of it is durable, and nothing depends on it: the pool is claimed when its client has released it, as ever. A question counts for
 * `HANDOVER_ASKED_MS`. The first client that asks has its turn; others are told of it.
 */
export class Handover {
  #question: Question | null = null;
  #askedAtMs = 0;
  #refusal = '';

  /** Returns why the pool is not handed over. Empty: its client has not answered, or is about to hand it over. */
  ask(question: Question, nowMs: number): string {
    const current = this.#current(nowMs);
    if (current !== null && current.clientInstance !== question.clientInstance) return `${current.clientName} has asked for it first`;
    // The refusal was the answer to another question.
    if (current?.evenIfInUse !== question.evenIfInUse) this.#refusal = '';
    this.#question = question;
    this.#askedAtMs = nowMs;
    return this.#refusal;
  }

  /** What the client that is served is told: that another one asks for the pool. `clientInstance`: of the one that is served. */
  wish(clientInstance: string, nowMs: number): HandoverWish | null {
    const question = this.#current(nowMs);
    if (question === null || question.clientInstance === clientInstance) return null;
    return { clientName: question.clientName, evenIfInUse: question.evenIfInUse };
  }

  /** What the client that is served says, with each renewal, of what it was told. Empty: it refuses nothing. */
  answered(refusal: string): void {
    if (this.#question !== null) this.#refusal = refusal;
  }

  /** The pool was granted to a client: what was asked before is settled. */
  settled(): void {
    this.#question = null;
    this.#refusal = '';
  }

  #current(nowMs: number): Question | null {
    if (this.#question !== null && nowMs - this.#askedAtMs >= HANDOVER_ASKED_MS) this.settled();
    return this.#question;
  }
}
