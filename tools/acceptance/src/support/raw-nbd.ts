import { parseNbdUri } from '@rmr/cluster';
import { RawConnection } from './raw-connection.ts';

// The NBD protocol (NetworkBlockDevice/nbd, doc/proto.md), only as far as breaking its rules needs it.

export const NBD = {
  REQUEST_MAGIC: 0x25609513,
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
  OPT_LIST: 3,
  OPT_GO: 7,
  REP_ACK: 1,
  REP_ERR_UNSUP: 0x80000001,
  REP_ERR_INVALID: 0x80000003,
  EINVAL: 22,
  ENOSPC: 28,
} as const;

const GREETING_BYTES = 18;
const IHAVEOPT = Buffer.from('IHAVEOPT');
const OPTION_REPLY_BYTES = 20;
const SIMPLE_REPLY_BYTES = 16;
const SIMPLE_REPLY_MAGIC = 0x67446698;

/** The client's answer to the greeting: fixed newstyle, no zeroes. */
export function clientFlags(): Buffer {
  return Buffer.from([0, 0, 0, 3]);
}

/** An option; `length` may lie about its data. */
export function option(id: number, data: Uint8Array, length: number = data.length): Buffer {
  const header = Buffer.alloc(16);
  IHAVEOPT.copy(header);
  header.writeUInt32BE(id, 8);
  header.writeUInt32BE(length, 12);
  return Buffer.concat([header, data]);
}

/** The data of a GO option; `nameLength` may lie. */
export function goData(name: string, nameLength: number = Buffer.byteLength(name)): Buffer {
  const data = Buffer.alloc(4 + Buffer.byteLength(name) + 2);
  data.writeUInt32BE(nameLength, 0);
  data.write(name, 4);
  return data;
}

/** A request header; everything in it may be nonsense. */
export interface RawRequest {
  readonly type: number;
  readonly flags?: number;
  readonly offset?: bigint;
  readonly length?: number;
  readonly cookie?: bigint;
  readonly magic?: number;
}

export function request(fields: RawRequest): Buffer {
  const header = Buffer.alloc(28);
  header.writeUInt32BE(fields.magic ?? NBD.REQUEST_MAGIC, 0);
  header.writeUInt16BE(fields.flags ?? 0, 4);
  header.writeUInt16BE(fields.type, 6);
  header.writeBigUInt64BE(fields.cookie ?? 1n, 8);
  header.writeBigUInt64BE(fields.offset ?? 0n, 16);
  header.writeUInt32BE(fields.length ?? 0, 24);
  return header;
}

/** Connects and reads the greeting. */
export async function greeted(uri: string): Promise<RawConnection> {
  const connection = await RawConnection.open(parseNbdUri(uri).socket);
  const greeting = await connection.read(GREETING_BYTES);
  if (greeting.toString('latin1', 0, 16) !== 'NBDMAGICIHAVEOPT') throw new Error(`a strange greeting: ${greeting.toString('hex')}`);
  return connection;
}

/** The type of the next reply to an option. */
export async function optionReply(connection: RawConnection): Promise<number> {
  const header = await connection.read(OPTION_REPLY_BYTES);
  await connection.read(header.readUInt32BE(16));
  return header.readUInt32BE(12);
}

/** Connects and negotiates simple replies: requests may follow. */
export async function negotiated(uri: string): Promise<RawConnection> {
  const connection = await greeted(uri);
  connection.send(clientFlags(), option(NBD.OPT_GO, goData(parseNbdUri(uri).export)));
  for (;;) {
    const type = await optionReply(connection);
    if (type === NBD.REP_ACK) return connection;
    if (type >= 0x80000000) throw new Error(`GO was refused with ${type.toString(16)}`);
  }
}

/** The error of the next simple reply. The payload of a read that succeeded stays unread. */
export async function replyError(connection: RawConnection): Promise<number> {
  const reply = await connection.read(SIMPLE_REPLY_BYTES);
  if (reply.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC) throw new Error(`no simple reply: ${reply.toString('hex')}`);
  return reply.readUInt32BE(4);
}
