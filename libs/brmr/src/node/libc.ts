import koffi from 'koffi';

/**
 * The few calls of the C library that Node does not offer. Addresses are passed as numbers (below 2^47 on every
 * Linux that Node runs on). The caller keeps the memory behind them alive.
 */
const library = koffi.load(null);

type Call<Arguments extends readonly unknown[]> = ((...args: Arguments) => number) & {
  async: (...args: [...Arguments, (error: Error | null, result: number) => void]) => void;
};

/** int flock(int fd, int operation) */
export const flock = library.func('int flock(int fd, int operation)') as Call<[number, number]>;
/** int fallocate(int fd, int mode, off_t offset, off_t length) */
export const fallocate = library.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)') as Call<
  [number, number, number, number]
>;
/** off_t lseek(int fd, off_t offset, int whence) */
export const lseek = library.func('int64_t lseek(int fd, int64_t offset, int whence)') as Call<[number, number, number]>;
/** ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset) */
export const pwritev = library.func('int64_t pwritev(int fd, uintptr_t iov, int count, int64_t offset)') as Call<
  [number, number, number, number]
>;
/** ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags) */
export const preadv2 = library.func('int64_t preadv2(int fd, uintptr_t iov, int count, int64_t offset, int flags)') as Call<
  [number, number, number, number, number]
>;

/** int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned int flags): 0 bytes = to the end */
export const syncFileRange = library.func('int sync_file_range(int fd, int64_t offset, int64_t bytes, uint32_t flags)') as Call<
  [number, number, number, number]
>;
/** long syscall(long number, …), for calls that the C library does not have. */
export const syscall = library.func('int64_t syscall(int64_t number, int64_t a, uintptr_t b, uintptr_t c, int64_t d)') as Call<
  [number, number, number, number, number]
>;
/** Linux 6.5: how much of a file is in the page cache, and in which state. The number is the same on all architectures. */
export const CACHESTAT = 451;
/** sync_file_range: wait for what is being written, write what is dirty, and wait for that. */
export const SYNC_FILE_RANGE_ALL = 7;

export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const FALLOC_FL_KEEP_SIZE = 0x01;
export const FALLOC_FL_PUNCH_HOLE = 0x02;
export const FALLOC_FL_ZERO_RANGE = 0x10;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
/** preadv2: don't wait for the disk. */
export const RWF_NOWAIT = 0x08;

/** Error numbers of Linux that decide something here. */
export const Errno = {
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EAGAIN: 11,
  EINVAL: 22,
  ENOSPC: 28,
  ENOSYS: 38,
  EOPNOTSUPP: 95,
  EDQUOT: 122,
} as const;

/** The error number of the last call that returned -1; read it at once, and in callbacks before anything else. */
export function errno(): number {
  return koffi.errno();
}
