export type { BlockDevice } from './block-device.ts';
export { NbdClient, type NbdClientListener, type NbdClientParts } from './client/nbd-client.ts';
export { isNbdUri, type NbdUri, parseNbdUri } from './client/nbd-uri.ts';
export type { ExportFailure, RemoteExport } from './client/remote-export.ts';
export {
  CONNECTIONS_MAX,
  IN_FLIGHT_BYTES_MAX,
  IN_FLIGHT_BYTES_SERVER_MAX,
  IN_FLIGHT_REQUESTS_MAX,
  PAYLOAD_BYTES_MAX,
  STRING_BYTES_MAX,
  WRITE_PART_BYTES,
} from './constants.ts';
export type { ConnectionState } from './core/connection-state.ts';
export type { NbdCounters } from './core/counters.ts';
export { type NbdConnectionInfo, type NbdExportInfo, NbdServer, type NbdServerListener, type NbdServerOptions } from './core/nbd-server.ts';
export type { AnnouncedExport } from './core/negotiation.ts';
export { DeviceFlag, DeviceOperation, DeviceRequest, type DeviceRequestSink, NO_OFFSET } from './device-request.ts';
export { nbdErrorOf } from './nbd-error.ts';
export { CommandFlag, commandName, NbdCommand, nbdCommandChanges, TransmissionFlag } from './wire/protocol.ts';
