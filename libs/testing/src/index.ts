export {
  CheckedTables,
  codeWords,
  type DocumentTable,
  type FieldValue,
  layoutComplaints,
  numberedNames,
  rowNames,
  sizedFields,
  sizeOf,
  tablesOf,
} from './document-tables.ts';
export { type DiskRequest, type DiskRequestKind, MemoryDisk, type MemoryDiskOptions, PAGE_BYTES } from './memory-disk.ts';
export { type LogEntry, MemoryLog } from './memory-log.ts';
export { MemoryNetwork, type MemoryNetworkOptions, MemoryTransport } from './memory-network.ts';
export { MemoryStream } from './memory-stream.ts';
export { type ScheduledEvent, Scheduler } from './scheduler.ts';
export { VirtualHost, VirtualWorld } from './virtual-world.ts';
