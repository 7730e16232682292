import type { InSyncMember, VersionRecord } from './pool-store.ts';

/** Order of versions of one lineage (V1): negative when `a` is the older. */
export function compareVersions(a: VersionRecord, b: VersionRecord): number {
  return a.epoch - b.epoch || a.seq - b.seq;
}

/** Whether two records say the same. Two records with the same place in the order must (V1). */
export function sameVersion(a: VersionRecord, b: VersionRecord): boolean {
  return (
    a.lineageUuid === b.lineageUuid &&
    compareVersions(a, b) === 0 &&
    a.inSync.length === b.inSync.length &&
    a.inSync.every((member, i) => sameMember(member, b.inSync[i] as InSyncMember))
  );
}

/** The same member with the same store. */
export function sameMember(a: InSyncMember, b: InSyncMember): boolean {
  return a.memberId === b.memberId && a.storeUuid === b.storeUuid;
}

/** Whether the store was in sync in this version. */
export function isInSync(version: VersionRecord, memberId: number, storeUuid: string): boolean {
  return version.inSync.some((member) => member.memberId === memberId && member.storeUuid === storeUuid);
}

/** `epoch.seq{members}`, for logs and people. */
export function formatVersion(version: VersionRecord): string {
  return `${version.epoch}.${version.seq}{${version.inSync.map((member) => member.memberId).join(',')}}`;
}

/** The highest of these versions, which are of one lineage. There must be at least one. */
export function highestVersion(versions: readonly VersionRecord[]): VersionRecord {
  return versions.reduce((highest, version) => (compareVersions(version, highest) > 0 ? version : highest));
}
