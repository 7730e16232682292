import koffi from 'koffi';

/** int setsockopt(int fd, int level, int name, const void *value, socklen_t length) */
const setsockopt = koffi.load(null).func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)') as (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: number,
) => number;

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
/** As SO_SNDBUF, beyond net.core.wmem_max: for who may administer the network. */
const SO_SNDBUFFORCE = 32;

/**
 * Lets the kernel hold this much of what was written to a unix socket and not read yet, or as much of it as
 * net.core.wmem_max allows. By default that is about 200 KiB, so that large messages go in small steps, for each of which
 * the two processes wait for each other. TCP does this by itself, and better.
 */
export function setSendBuffer(fd: number, byteCount: number): void {
  if (fd < 0) return;
  const value = new Uint8Array(Int32Array.of(byteCount).buffer);
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, value, value.length) !== 0) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, value, value.length);
}
