/**
 * The size of the largest store that may still be made: what over-provisioning leaves. What counts is the space that is there for stores, free or
 * taken by them. What others have on the file system is not theirs.
 */
export function directoryRoom({ freeBytes, allocatedBytes, promisedBytes }: DirectorySpace, overProvisioning: number): number {
  return Math.max(0, Math.floor((freeBytes + allocatedBytes) * overProvisioning) - promisedBytes);
}

/** The space of a directory, shared by its stores and by what else is on its file system. In bytes. */
export interface DirectorySpace {
  /** Of the file system. */
  readonly capacityBytes: number;
  readonly freeBytes: number;
  /** What the stores have taken, and what they may take in all. */
  readonly allocatedBytes: number;
  readonly promisedBytes: number;
}
