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
/** As SO_SNDBUF, but without the limit of net.core.wmem_max. Only a process that may administer the network can use it. */
const SO_SNDBUFFORCE = 32;

/**
 * Lets the kernel hold so many bytes that were written to a unix socket and not read yet, or as many as net.core.wmem_max
 * allows. The default is about 200 KiB. With it a large message goes in small steps, and the two processes wait for each
 * other at each step. TCP does this by itself, and better.
 */
export function setSendBuffer(fd: number, byteCount: number): void {
  if (fd < 0) return;
  const value = new Uint8Array(Int32Array.of(byteCount).buffer);
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, value, value.length) !== 0) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, value, value.length);
}
