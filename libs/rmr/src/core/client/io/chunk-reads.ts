import type { ChunkGrid } from '@rmr/dirty-map';
import { type Slab, Status } from '@rmr/runtime';
import { MessageType } from '../../../wire/io-message.ts';
import { IoRequest, type IoSink } from './io-request.ts';

/**
 * Reads chunk by chunk what no member could read in one go: their disks may have bad sectors in different chunks of the
 * range, and each chunk can be read somewhere (I8). One after the other, as this is no way to be fast. The first chunk that
 * can't be read ends it.
 */
export class ChunkReads implements IoSink {
  readonly #host: ChunkReadsHost;
  readonly #request: IoRequest;
  readonly #grid: ChunkGrid;
  readonly #payload: Uint8Array;
  readonly #part = new IoRequest(this);

  constructor(host: ChunkReadsHost, request: IoRequest, grid: ChunkGrid) {
    this.#host = host;
    this.#request = request;
    this.#grid = grid;
    this.#payload = new Uint8Array(request.lengthBytes);
    this.#part.isPart = true;
  }

  /** Begins if it makes sense: the read is of more than one chunk. */
  begin(): boolean {
    const { type, offsetBytes, lengthBytes } = this.#request;
    if (type !== MessageType.READ || this.#endOfChunk(offsetBytes) >= offsetBytes + lengthBytes) return false;
    this.#read(offsetBytes);
    return true;
  }

  onIoDone(part: IoRequest, status: number, payload: Uint8Array | null): void {
    const { offsetBytes, lengthBytes } = this.#request;
    if (status !== Status.OK || payload === null) {
      this.#host.finish(this.#request, status, null, null);
      return;
    }
    this.#payload.set(payload, part.offsetBytes - offsetBytes);
    const next = part.offsetBytes + part.lengthBytes;
    if (next < offsetBytes + lengthBytes) this.#read(next);
    else this.#host.finish(this.#request, Status.OK, this.#payload, null);
  }

  #endOfChunk(offsetBytes: number): number {
    return this.#grid.startOf(this.#grid.firstOf(offsetBytes) + 1);
  }

  #read(from: number): void {
    const { offsetBytes, lengthBytes, submittedAtMs } = this.#request;
    const part = this.#part;
    part.type = MessageType.READ;
    part.offsetBytes = from;
    part.lengthBytes = Math.min(this.#endOfChunk(from), offsetBytes + lengthBytes) - from;
    this.#host.submit(part);
    // It has waited since the whole was submitted (`ioTimeout`, status).
    part.submittedAtMs = submittedAtMs;
  }
}

/** What reading chunk by chunk needs. */
export interface ChunkReadsHost {
  submit(request: IoRequest): void;
  /** The read as a whole has ended; `payload` is the caller's to keep. */
  finish(request: IoRequest, status: number, payload: Uint8Array | null, slab: Slab | null): void;
}
