import { NbdClient, RequestKind } from '@rmr/chaos';
import { parseNbdUri } from '@rmr/cluster';

/** One request on a connection of its own: what it waits for is no other request's doing. */
export class NbdQuestion {
  #error: number | null = null;
  #lost: string | null = null;

  /** Asks; the answer may take its time. */
  static async ask(uri: string, kind: RequestKind, offsetBytes: number, lengthBytes: number): Promise<NbdQuestion> {
    const question = new NbdQuestion();
    const client = await NbdClient.connect(parseNbdUri(uri), {
      onReply: (_cookie, error) => {
        question.#error = error;
        client.end();
      },
      onClosed: (reason) => {
        if (question.#error === null) question.#lost = reason;
      },
    });
    const payload = kind === RequestKind.WRITE ? new Uint8Array(lengthBytes).fill(0x5a) : null;
    client.send(kind, false, 1, offsetBytes, lengthBytes, payload);
    return question;
  }

  /** `waiting`, the error number of its answer (0: it succeeded), or why its connection ended. */
  get state(): 'waiting' | number | string {
    return this.#error ?? this.#lost ?? 'waiting';
  }
}
