export { BoundedLog } from './bounded-log.ts';
export { readU16, readU32, readU64, SAFE_HIGH_WORD_MAX, writeU16, writeU32, writeU64 } from './bytes.ts';
export { crc32c } from './checksum.ts';
export { type Disk, type DiskExtent, type DiskFeatures, DiskOperation, type DiskSink, type DiskSpace } from './disk.ts';
export {
  assert,
  errorMessage,
  InvariantViolation,
  OPERATION_ERRORS,
  OperationError,
  type OperationErrorCode,
  unreachable,
} from './errors.ts';
export { type LogFields, type Logger, SILENT_LOGGER } from './logger.ts';
export { type Random, randomBelow, randomUuid, SeededRandom } from './random.ts';
export { ReceiveBuffer } from './receive-buffer.ts';
export { REASONS_MAX, Repeats, SUMMARY_MS_MAX, SUMMARY_MS_MIN } from './repeats.ts';
export { COPY_BYTES_MAX, SendQueue } from './send-queue.ts';
export { SLAB_BYTES, Slab, SlabPool } from './slab.ts';
export { INTERNAL_STATUS_MIN, Status, statusName } from './status.ts';
export type { ByteStream, ByteStreamHandler, ConnectAttempt, StreamListener, Transport } from './stream.ts';
export { decodeUuid, encodeUuid, formatSize, formatTime, GIB, isUuid, KIB, MIB, parseDuration, parseSize, TIB } from './units.ts';
export { type Clock, TICK_INTERVAL_MS, type Ticked, type Ticker, type Turn, type TurnTask, type World } from './world.ts';
