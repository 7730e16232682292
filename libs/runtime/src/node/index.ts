export { createLogger, type LogLevel } from './pino-logger.ts';
export { parseSocketAddress, SocketTransport, tcpAddress } from './socket-transport.ts';
export { createSystemWorld, SystemClock, SystemRandom, SystemTicker, SystemTurn } from './system-world.ts';
