export { type AdminServer, startAdminServer } from './admin-server.ts';
export { ENV_PREFIX, loadConfig } from './config/config.ts';
export { configReference } from './config/config-reference.ts';
export { nearest } from './config/config-suggestions.ts';
export {
  durationValue,
  nameValue,
  parseAdminAddress,
  pathValue,
  quote,
  refuseSharedAddresses,
  sizeValue,
  socketAccessValue,
  socketAddressListValue,
  socketAddressValue,
  timeoutValue,
  uuidValue,
} from './config/config-values.ts';
export { adminSection, logSection, nodeKeys, refuseEarlyDeath, transportKeys } from './config/daemon-schema.ts';
export { DaemonEvents } from './daemon-events.ts';
export type { Daemon } from './daemon-host.ts';
export { DaemonNode } from './daemon-node.ts';
export { Metrics, registerProcessMetrics } from './metrics.ts';
export { addRunCommand, type DaemonSurroundings } from './run-command.ts';
