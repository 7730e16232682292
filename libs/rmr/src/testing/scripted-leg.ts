import type { RtrsResponseSink } from '@rmr/rtrs';
import { Status } from '@rmr/runtime';
import { expect } from 'vitest';
import { decodeIoMessage, IoMessage, invalidIoMessage } from '../wire/io-message.ts';

/** A leg that notes what is sent on it and answers when the test says so. */
export class ScriptedLeg {
  readonly poolHandle = 0;
  readonly headerBytes = new Uint8Array(64 * 64);
  readonly sent: { readonly message: IoMessage; readonly answer: (status: number, payload?: Uint8Array) => void }[] = [];
  permits = 64;
  #next = 0;
  allocate(): number {
    if (this.permits === 0) return -1;
    this.permits--;
    this.#next = (this.#next + 1) % 64;
    return this.#next;
  }
  release(): void {
    this.permits++;
  }
  headerOffset(slot: number): number {
    return slot * 64;
  }
  submit(slot: number, length: number, _payload: Uint8Array | null, _slab: null, tag: number, sink: RtrsResponseSink): void {
    expect(invalidIoMessage(this.headerBytes, slot * 64, length)).toBeNull();
    const message = new IoMessage();
    decodeIoMessage(this.headerBytes, slot * 64, message);
    this.sent.push({
      message,
      answer: (status, payload) => {
        this.permits++;
        sink.onResponse(tag, status, this.headerBytes, 0, 0, payload ?? null, null);
      },
    });
  }
  /** Answers the oldest request. */
  answer(status: number = Status.OK, payload?: Uint8Array): void {
    const next = this.sent.shift();
    expect(next).toBeDefined();
    next?.answer(status, payload);
  }
}
