import koffi from 'koffi';
import { addressOf, IoVector } from './native-memory.ts';

/** Views in one call; more go the long way. */
const VIEWS_MAX = 64;

/** ssize_t writev(int fd, const struct iovec *iov, int count) */
const writev = koffi.load(null).func('int64_t writev(int fd, uintptr_t iov, int count)') as (
  fd: number,
  iov: number,
  count: number,
) => number;

/** Shared by all: it is used within one call only. */
const VECTOR = new IoVector(VIEWS_MAX);

/**
 * Writes to a socket that does not block with one system call, past Node's stream machinery, which costs several
 * microseconds per write. Returns how many of the bytes the kernel took, from the first view on; the rest is left to
 * the caller. 0 when the socket is full, closed or broken: its events tell which.
 */
export function writeDirectly(fd: number, views: readonly Uint8Array[]): number {
  if (fd < 0 || views.length > VIEWS_MAX) return 0;
  for (let i = 0; i < views.length; i++) {
    const view = views[i] as Uint8Array;
    VECTOR.set(i, addressOf(view), view.length);
  }
  return Math.max(0, writev(fd, VECTOR.address, views.length));
}
