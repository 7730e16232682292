import koffi from 'koffi';
import { addressOf, IoVector } from './native-memory.ts';

/** The most views in one call. The rest goes through Node's stream. */
const VIEWS_MAX = 64;

/** ssize_t writev(int fd, const struct iovec *iov, int count) */
const writev = koffi.load(null).func('int64_t writev(int fd, uintptr_t iov, int count)') as (
  fd: number,
  iov: number,
  count: number,
) => number;

/** Shared by all sockets, because it is used only within one call. */
const VECTOR = new IoVector(VIEWS_MAX);

/**
 * Writes to a non-blocking socket with one system call. It goes past Node's stream machinery, which costs several
 * microseconds per write. Returns how many bytes the kernel took, from the first view on; the caller sends the rest. Returns 0
 * when the socket is full, closed or broken: the socket's events tell which.
 */
export function writeDirectly(fd: number, views: readonly Uint8Array[]): number {
  if (fd < 0 || views.length > VIEWS_MAX) return 0;
  for (let i = 0; i < views.length; i++) {
    const view = views[i] as Uint8Array;
    VECTOR.set(i, addressOf(view), view.length);
  }
  return Math.max(0, writev(fd, VECTOR.address, views.length));
}
