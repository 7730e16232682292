import { isUuid } from '@rmr/runtime';
import { HOST_NAME_BYTES_MAX } from './constants.ts';

/** The identity of one side of a session. Both sides send theirs in the handshake of every path (L2). */
export interface PeerIdentity {
  /** The host's lasting identity. */
  readonly hostUuid: string;
  /** Its name, for people; 1 to 64 bytes of UTF-8. */
  readonly hostName: string;
  /** The kernel's boot id: another one means that unflushed data may be gone. */
  readonly bootId: string;
  /** Drawn anew at every start of the process. */
  readonly incarnation: string;
}

/** What is wrong with an identity, or null. */
export function invalidIdentity(identity: PeerIdentity): string | null {
  if (!isUuid(identity.hostUuid)) return 'hostUuid is not a UUID in lower-case text form';
  if (!isUuid(identity.bootId)) return 'bootId is not a UUID in lower-case text form';
  if (!isUuid(identity.incarnation)) return 'incarnation is not a UUID in lower-case text form';
  const nameBytes = new TextEncoder().encode(identity.hostName).length;
  if (nameBytes < 1 || nameBytes > HOST_NAME_BYTES_MAX) return `hostName is not 1 to ${HOST_NAME_BYTES_MAX} bytes long`;
  return null;
}

/** Whether both are the same process of the same boot of the same host. */
export function sameIncarnation(a: PeerIdentity, b: PeerIdentity): boolean {
  return a.hostUuid === b.hostUuid && a.bootId === b.bootId && a.incarnation === b.incarnation;
}
