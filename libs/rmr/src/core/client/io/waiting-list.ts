import { assert } from '@rmr/runtime';
import { isWriteType, MessageType } from '../../../wire/io-message.ts';
import type { IoRequest } from './io-request.ts';

/** Requests that wait for a unit, a permit, an overlapping write, a version change or a leg, in order of their tickets. */
export class WaitingList {
  head: IoRequest | null = null;
  #tail: IoRequest | null = null;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(request: IoRequest): void {
    request.next = null;
    request.previous = this.#tail;
    if (this.#tail === null) this.head = request;
    else this.#tail.next = request;
    this.#tail = request;
    this.#length++;
    request.waits = true;
  }

  /** Puts a request that was under way back to its place. Such requests are older than nearly all that wait. */
  insertByTicket(request: IoRequest): void {
    let after = this.head;
    while (after !== null && after.ticket < request.ticket) after = after.next;
    if (after === null) {
      this.append(request);
      return;
    }
    request.next = after;
    request.previous = after.previous;
    if (after.previous === null) this.head = request;
    else after.previous.next = request;
    after.previous = request;
    this.#length++;
    request.waits = true;
  }

  remove(request: IoRequest): void {
    if (request.previous === null) this.head = request.next;
    else request.previous.next = request.next;
    if (request.next === null) this.#tail = request.previous;
    else request.next.previous = request.previous;
    request.next = null;
    request.previous = null;
    this.#length--;
    request.waits = false;
  }

  /** Whether `request` must wait for one that waits already. */
  holds(request: IoRequest): boolean {
    for (let waiting = this.head; waiting !== null; waiting = waiting.next) {
      if (mustKeepOrder(waiting, request)) return true;
    }
    return false;
  }

  verify(): void {
    let count = 0;
    let previous: IoRequest | null = null;
    for (let request = this.head; request !== null; request = request.next) {
      assert(request.previous === previous, 'waiting list: broken link');
      assert(request.waits, 'waiting list: a request does not know that it waits');
      assert(previous === null || previous.ticket < request.ticket, 'waiting list: out of order');
      previous = request;
      count++;
    }
    assert(previous === this.#tail && count === this.#length, 'waiting list: length is off');
  }
}

/** Whether two requests must keep their order: they overlap, and one of them changes data (W1). */
export function mustKeepOrder(a: IoRequest, b: IoRequest): boolean {
  if (a.type === MessageType.FLUSH || b.type === MessageType.FLUSH) return false;
  if (!isWriteType(a.type) && !isWriteType(b.type)) return false;
  return a.offsetBytes < b.offsetBytes + b.lengthBytes && b.offsetBytes < a.offsetBytes + a.lengthBytes;
}
