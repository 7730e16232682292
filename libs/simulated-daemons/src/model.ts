/** What simulated daemons tell of: volumes, members and disks as plain data, which a test changes as it likes. */
import type { ClientPoolStatus, DiskStatus, Health, IoWait, ResyncStatus, WaitingFor } from '@rmr/admin-api';
import { GIB, TIB } from '@rmr/runtime';

/** The time that simulated states began, unless a test says otherwise. */
export const SINCE = '2026-12-01T02:44:00.000Z';

export const HEALTHY: Health = { level: 'healthy', sentence: 'it works' };

/** A disk of a simulated storage node. Its stores are those of the members that name it. */
export type SimulatedDisk = Omit<DiskStatus, 'stores' | 'promisedBytes'>;

/** A member of a simulated volume. */
export interface SimulatedMember {
  readonly memberId: number;
  node: string;
  disk: string;
  storeUuid: string;
  /** Whether the store is open on its node. */
  attached: boolean;
  connected: boolean;
  inSync: boolean;
  maintenance: boolean;
  dirtyBytes: number;
  state: ClientPoolStatus['legs'][number]['state'];
  reason: string;
  since: string;
  waitingFor: WaitingFor | null;
  rolledBack: string | null;
  diskTrouble: string | null;
  /** Bytes that no other member has clean. */
  onlyCopyBytes: number;
  resync: Partial<ResyncStatus>;
}

/** A simulated volume. */
export interface SimulatedVolume {
  readonly uuid: string;
  name: string;
  sizeBytes: number;
  quorum: 'none' | 'majority';
  members: SimulatedMember[];
  /** The client node that maps it; null: none does. */
  client: string | null;
  state: ClientPoolStatus['state'];
  reason: string;
  /** Null: what follows from the members. */
  health: Health | null;
  waitingFor: WaitingFor | null;
  waits: IoWait[];
  lost: ClientPoolStatus['lost'];
  unreadable: ClientPoolStatus['unreadable'];
  withoutCleanCopy: ClientPoolStatus['withoutCleanCopy'];
  differences: ClientPoolStatus['differences'];
  /** Addresses of NBD clients. */
  peers: string[];
}

/** The state of a simulated cluster. */
export interface SimulatedState {
  readonly volumes: SimulatedVolume[];
  /** By name of the storage node. */
  readonly disks: Map<string, SimulatedDisk[]>;
}

/** A UUID that stands for a number, so that outputs are the same in every run. `family` keeps the UUIDs of different things apart. */
export function uuidOf(family: number, number: number): string {
  return `${family.toString(16).padStart(8, '0')}-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
}

/** A disk that is empty and works: a directory on a file system of 8 TiB, unless `with` says otherwise. */
export function newDisk(name: string, over: Partial<SimulatedDisk> = {}): SimulatedDisk {
  return {
    ...{ name, kind: 'directory', place: `/srv/${name}`, capacityBytes: 8 * TIB, freeBytes: 6 * TIB },
    ...{ model: null, serial: null, spare: false, foreign: null, health: HEALTHY, ...over },
  };
}

/** A member that is in sync and has everything. */
export function newMember(memberId: number, node: string, disk: string, over: Partial<SimulatedMember> = {}): SimulatedMember {
  return {
    ...{ memberId, node, disk, storeUuid: uuidOf(2, memberId), attached: true, connected: true, inSync: true, maintenance: false },
    ...{ dirtyBytes: 0, state: 'NORMAL', reason: 'in sync', since: SINCE, waitingFor: null, rolledBack: null, diskTrouble: null },
    ...{ onlyCopyBytes: 0, resync: {}, ...over },
  };
}

/** A volume of 100 GiB that is served and healthy. */
export function newVolume(
  number: number,
  name: string,
  client: string | null,
  members: readonly SimulatedMember[],
  over: Partial<SimulatedVolume> = {},
): SimulatedVolume {
  const own = members.map((member) => ({ ...member, storeUuid: uuidOf(2, number * 16 + member.memberId) }));
  return {
    ...{ uuid: uuidOf(1, number), name, sizeBytes: 100 * GIB, quorum: 'none', members: own, client, state: 'SERVING', reason: 'served' },
    ...{
      health: null,
      waitingFor: null,
      waits: [],
      lost: null,
      unreadable: null,
      withoutCleanCopy: null,
      differences: [],
      peers: [],
      ...over,
    },
  };
}
