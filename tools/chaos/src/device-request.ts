/** A request, in sectors of the writer's part of the device. A flush has no place. */
export interface DeviceRequest {
  readonly kind: RequestKind;
  /** Durable before it is answered. */
  readonly fua: boolean;
  readonly firstSector: number;
  readonly sectorCount: number;
}

/** What can be asked of a device; the values are those of NBD's commands. */
export const RequestKind = { READ: 0, WRITE: 1, FLUSH: 3, TRIM: 4, WRITE_ZEROES: 6 } as const;
export type RequestKind = (typeof RequestKind)[keyof typeof RequestKind];

/** A request for people. */
export function describeRequest({ kind, fua, firstSector, sectorCount }: DeviceRequest): string {
  const name = Object.entries(RequestKind).find(([, value]) => value === kind)?.[0] ?? `request ${kind}`;
  return `${name}${fua ? '+FUA' : ''}${kind === RequestKind.FLUSH ? '' : ` of ${sectorCount} sectors at sector ${firstSector}`}`;
}
