import koffi from 'koffi';
import { addressOf } from './native-memory.ts';

const library = koffi.load(null);

/** int poll(struct pollfd *fds, nfds_t nfds, int timeout) */
const poll = library.func('int poll(uintptr_t fds, uint64_t count, int timeoutMs)') as (
  fds: number,
  count: number,
  timeoutMs: number,
) => number;
/** int ioctl(int fd, unsigned long request, int *argument) */
const ioctl = library.func('int ioctl(int fd, uint64_t request, uintptr_t argument)') as (
  fd: number,
  request: number,
  argument: number,
) => number;
/** int getsockopt(int fd, int level, int name, void *value, socklen_t *length) */
const getsockopt = library.func('int getsockopt(int fd, int level, int name, uintptr_t value, uintptr_t length)') as (
  fd: number,
  level: number,
  name: number,
  value: number,
  length: number,
) => number;
/** int setsockopt(int fd, int level, int name, const void *value, socklen_t length) */
const setsockopt = library.func('int setsockopt(int fd, int level, int name, uintptr_t value, uint32_t length)') as (
  fd: number,
  level: number,
  name: number,
  value: number,
  length: number,
) => number;

const POLLERR = 0x8;
const POLLHUP = 0x10;
const POLLNVAL = 0x20;
const POLLRDHUP = 0x2000;
const GONE = POLLERR | POLLHUP | POLLNVAL | POLLRDHUP;

/** ioctl: bytes that were sent and that the peer's host has not acknowledged. */
const SIOCOUTQ = 0x5411;

const SOL_SOCKET = 1;
const SO_KEEPALIVE = 9;
const IPPROTO_TCP = 6;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
const TCP_INFO = 11;
/** Offsets in `struct tcp_info`: retransmissions without an answer, and probes (of keep-alive, or of a window that was full) without one. */
const RETRANSMITS_OFFSET = 2;
const PROBES_OFFSET = 3;
/** Of `tcpi_last_ack_recv`: milliseconds since anything was acknowledged, keep-alive probes included. */
const LAST_ACK_RECEIVED_OFFSET = 56;

/** After so many seconds of silence the kernel asks a host whether it is there. It asks again at the interval below, so many times. */
const KEEP_ALIVE_IDLE_S = 30;
const KEEP_ALIVE_INTERVAL_S = 10;
const KEEP_ALIVE_PROBES = 6;

/** Shared by all calls: each is over before the next begins. */
const words = new Int32Array(64);
const halves = new Int16Array(words.buffer);
const bytes = new Uint8Array(words.buffer);
const WORDS = addressOf(bytes);
const LENGTH = WORDS + 60 * 4;

/**
 * Whether the peer is gone, as far as this host has heard: it has closed its end, has broken off, or the kernel has given it up. This shows
 * even while earlier bytes have not been read. A stream that reads would learn of it only after these bytes.
 */
export function isPeerGone(fd: number): boolean {
  if (fd < 0) return true;
  words[0] = fd;
  // events, then revents.
  halves[2] = POLLRDHUP;
  halves[3] = 0;
  return poll(WORDS, 1, 0) > 0 && ((halves[3] as number) & GONE) !== 0;
}

/** TCP: bytes that were written and that the peer's host has not acknowledged. */
export function unacknowledgedBytes(fd: number): number {
  words[0] = 0;
  return ioctl(fd, SIOCOUTQ, WORDS) === 0 ? (words[0] as number) : 0;
}

/**
 * TCP: for how many milliseconds the peer's host has acknowledged nothing, while the kernel's last attempt is unanswered. 0: the host owes
 * no answer. The kernel asks a peer that takes no data at growing intervals, of up to two minutes.
 */
export function silentMs(fd: number): number {
  words[60] = 60 * 4;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, WORDS, LENGTH) !== 0) return 0;
  if (bytes[RETRANSMITS_OFFSET] === 0 && bytes[PROBES_OFFSET] === 0) return 0;
  return (words[LAST_ACK_RECEIVED_OFFSET / 4] as number) >>> 0;
}

/** TCP: makes the kernel ask the host of a silent peer whether it is there. If it is not, the kernel breaks the connection after 90 s. */
export function keepAlive(fd: number): void {
  if (fd < 0) return;
  setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_ALIVE_IDLE_S);
  setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_ALIVE_INTERVAL_S);
  setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_ALIVE_PROBES);
}

function setOption(fd: number, level: number, name: number, value: number): void {
  words[0] = value;
  setsockopt(fd, level, name, WORDS, 4);
}
