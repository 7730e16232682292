export { replaceFileDurably } from './durable-file.ts';
export { EXIT_BUG, exitProcess } from './exit-process.ts';
export { addressOf, IoVector } from './native-memory.ts';
export { createLogger, type LogLevel } from './pino-logger.ts';
export type { SocketAccess } from './socket-access.ts';
export { parseSocketAddress, SocketTransport, tcpAddress } from './socket-transport.ts';
export { createSystemWorld, SystemClock, SystemRandom, SystemTicker, SystemTurn } from './system-world.ts';
export { ensurePoolThreads, poolThreads } from './thread-pool.ts';
