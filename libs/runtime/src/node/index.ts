export { type ConfigSources, configKeys, ENV_PREFIX, loadConfig } from './config.ts';
export type { ConfigKey } from './config-key.ts';
export { configReference } from './config-reference.ts';
export { nearest } from './config-suggestions.ts';
export {
  adminAddressValue,
  durationValue,
  NAME_BYTES_MAX,
  nameValue,
  parseAdminAddress,
  pathValue,
  refuseSharedAddresses,
  routesValue,
  sizeValue,
  socketAccessValue,
  socketAddressListValue,
  socketAddressValue,
  timeoutValue,
  uuidValue,
} from './config-values.ts';
export { crashOnBugs, EXIT_BUG, runUntilSignal, type Stoppable } from './daemon-process.ts';
export { exitProcess } from './exit-process.ts';
export { type HostIdentity, type HostIdentityOptions, loadHostIdentity, replaceFileDurably } from './host-identity.ts';
export { addressOf, IoVector } from './native-memory.ts';
export { createLogger, type LogLevel } from './pino-logger.ts';
export type { SocketAccess } from './socket-access.ts';
export { parseSocketAddress, SocketTransport, tcpAddress } from './socket-transport.ts';
export { createSystemWorld, SystemClock, SystemRandom, SystemTicker, SystemTurn } from './system-world.ts';
export { ensurePoolThreads, poolThreads } from './thread-pool.ts';
