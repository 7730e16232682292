/** What a server says of an export, and why an export can't be had. */
import type { OperationErrorCode } from '@rmr/runtime';
import type { BlockSizes } from '../wire/option.ts';

/** An export as its server describes it. */
export interface RemoteExport {
  readonly sizeBytes: number;
  /** Bits of `TransmissionFlag`. */
  readonly transmissionFlags: number;
  /** Those of the protocol's defaults where the server says nothing. */
  readonly blockSizes: BlockSizes;
  /** Structured replies were agreed on. */
  readonly structured: boolean;
  /** The id of `base:allocation`; null: it is not offered, and so nothing tells holes from data. */
  readonly allocationContextId: number | null;
}

/** Why an export can't be had, with a stable code. */
export interface ExportFailure {
  readonly code: OperationErrorCode;
  readonly reason: string;
}

/** Whether two connections lead to the same export, as far as that shows. */
export function sameExport(a: RemoteExport, b: RemoteExport): boolean {
  return (
    a.sizeBytes === b.sizeBytes &&
    a.transmissionFlags === b.transmissionFlags &&
    a.blockSizes.minBytes === b.blockSizes.minBytes &&
    a.blockSizes.maxBytes === b.blockSizes.maxBytes &&
    a.structured === b.structured &&
    (a.allocationContextId === null) === (b.allocationContextId === null)
  );
}
