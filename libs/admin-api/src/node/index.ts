export { type AdminServer, type AdminServerOptions, isLoopback, startAdminServer } from './admin-server.ts';
export { type Daemon, type DaemonHostOptions, hostDaemon } from './daemon-host.ts';
export { type MetricOptions, Metrics, type Observe, registerProcessMetrics } from './metrics.ts';
export { addRunCommand, type DaemonConfig, type DaemonProgram, type DaemonSurroundings } from './run-command.ts';
