export { DeviceRecord, type RecordCounters } from './device-record.ts';
export { type DeviceRequest, RequestKind } from './device-request.ts';
export { describeDifference } from './member-difference.ts';
export { NbdClient, type NbdEvents } from './nbd-client.ts';
export { type Endpoint, VerifiedWriter, type WriterOptions } from './verified-writer.ts';
