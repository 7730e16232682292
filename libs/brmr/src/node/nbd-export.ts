/** NBD exports for commands, which have no world of their own: attach, do one thing, and leave. */
import { createHash } from 'node:crypto';
import { MIB, OperationError, SlabPool, Status, statusName } from '@rmr/runtime';
import { createLogger, createSystemWorld, SocketTransport } from '@rmr/runtime/node';
import { type NbdDisk, openNbdDisk } from '../core/server/nbd-disk.ts';

/** Bytes read at a time for a digest. */
const DIGEST_BYTES = MIB;

/** Attaches to an export. Rejects as `openNbdDisk`. Closing the disk lets the process end. */
export function openExport(uri: string, readOnly: boolean): Promise<NbdDisk> {
  const parts = { world: createSystemWorld(createLogger('store', 'warn')), transport: new SocketTransport(), slabs: new SlabPool() };
  return new Promise((resolve, reject) => {
    openNbdDisk(parts, { uri, readOnly }, (result) => (result instanceof OperationError ? reject(result) : resolve(result)));
  });
}

/**
 * SHA-256 of each `pieceBytes` of a range of an export, in order, holes as zeroes, in hexadecimal. The last piece may be shorter.
 * Rejects as {@link openExport}; IO_ERROR.
 */
export async function* digestsOfDisk(
  uri: string,
  offsetBytes: number,
  lengthBytes: number,
  pieceBytes: number,
): AsyncGenerator<string, void, undefined> {
  const disk = await openExport(uri, true);
  let hash = createHash('sha256');
  const buffer = new Uint8Array(DIGEST_BYTES);
  try {
    let pieceEnd = Math.min(pieceBytes, lengthBytes);
    for (let at = 0; at < lengthBytes; ) {
      const part = buffer.subarray(0, Math.min(DIGEST_BYTES, pieceEnd - at));
      const status = await new Promise<number>((resolve) => {
        disk.read(offsetBytes + at, part, 0, { onDiskDone: (_tag, ended) => resolve(ended) });
        disk.submit();
      });
      if (status !== Status.OK)
        throw new OperationError(
          'IO_ERROR',
          `${uri} can't be read at byte ${offsetBytes + at} (${statusName(status)}); check the server and its log`,
        );
      hash.update(part);
      at += part.length;
      if (at < pieceEnd) continue;
      yield hash.digest('hex');
      hash = createHash('sha256');
      pieceEnd = Math.min(pieceEnd + pieceBytes, lengthBytes);
    }
  } finally {
    await new Promise<void>((resolve) => disk.close(() => resolve()));
  }
}
