import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NbdAddress } from '@rmr/cluster';
import { ByteReader } from './byte-reader.ts';
import { RequestKind } from './device-request.ts';

/** An NBD server over memory, for tests: honest, unless told to do something else. */
export class TestingServer {
  readonly memory: Uint8Array;
  readonly address: NbdAddress;
  /** Taken in place of an honest execution: returns the error number to answer with, or null to execute after all. */
  misbehave: (request: ArrivedRequest) => number | null = () => null;
  /** While true, requests are executed but not answered. */
  silent = false;
  arrived = 0;
  /** Told of every connection, before it is answered. */
  onConnection: () => void = () => {};
  readonly #folder = mkdtempSync(join(tmpdir(), 'rmr-chaos-'));
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(sizeBytes: number) {
    this.memory = new Uint8Array(sizeBytes);
    this.address = { export: 'pool-1', socket: { path: join(this.#folder, 'nbd.sock') } };
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      this.onConnection();
      this.#serve(socket).catch(() => socket.destroy());
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.address.socket, resolve));
  }

  /** Ends every connection, as a process that is killed does. */
  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async close(): Promise<void> {
    this.dropConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#folder, { recursive: true });
  }

  async #serve(socket: Socket): Promise<void> {
    const reader = new ByteReader(socket);
    socket.write(Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), Buffer.from([0, 3])]));
    await reader.read(4);
    const option = await reader.read(16);
    const name = (await reader.read(option.readUInt32BE(12))).subarray(4, -2).toString();
    if (name !== this.address.export) {
      socket.write(optionReply(0x8000_0006, Buffer.from('no such export')));
      return;
    }
    const info = Buffer.alloc(12);
    info.writeBigUInt64BE(BigInt(this.memory.length), 2);
    socket.write(Buffer.concat([optionReply(3, info), optionReply(1, Buffer.alloc(0))]));
    for (;;) {
      const header = await reader.read(28);
      const request = {
        kind: header.readUInt16BE(6),
        offsetBytes: Number(header.readBigUInt64BE(16)),
        lengthBytes: header.readUInt32BE(24),
      };
      if (request.kind === 2) break;
      const payload = request.kind === RequestKind.WRITE ? await reader.read(request.lengthBytes) : null;
      this.arrived++;
      const reply = this.#execute(request, payload, header.subarray(8, 16));
      if (!this.silent) socket.write(reply);
    }
    socket.end();
  }

  #execute(request: ArrivedRequest, payload: Uint8Array | null, cookie: Uint8Array): Buffer {
    const { kind, offsetBytes, lengthBytes } = request;
    const error = this.misbehave(request);
    if (error === null) {
      if (payload !== null) this.memory.set(payload, offsetBytes);
      else if (kind !== RequestKind.READ && kind !== RequestKind.FLUSH) this.memory.fill(0, offsetBytes, offsetBytes + lengthBytes);
    }
    const head = Buffer.alloc(16);
    head.writeUInt32BE(0x6744_6698, 0);
    head.writeUInt32BE(error ?? 0, 4);
    head.set(cookie, 8);
    const answersBytes = kind === RequestKind.READ && (error ?? 0) === 0;
    return answersBytes ? Buffer.concat([head, this.memory.slice(offsetBytes, offsetBytes + lengthBytes)]) : head;
  }
}

/** A request as it arrives at the server. */
export interface ArrivedRequest {
  readonly kind: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

function optionReply(type: number, data: Uint8Array): Buffer {
  const header = Buffer.alloc(20);
  header.writeBigUInt64BE(0x0003_e889_0455_65a9n, 0);
  header.writeUInt32BE(7, 8);
  header.writeUInt32BE(type, 12);
  header.writeUInt32BE(data.length, 16);
  return Buffer.concat([header, data]);
}
