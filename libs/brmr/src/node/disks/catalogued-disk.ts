import { type Disk, OperationError, randomUuid, type World } from '@rmr/runtime';
import { directoryVerdict } from '../../core/disks/directory-marker.ts';
import { type DirectorySpace, directoryRoom } from '../../core/disks/directory-room.ts';
import { type CheckedPlace, checkPlace, type WantedStore } from '../../core/disks/disk-checks.ts';
import { type DiskHealth, DiskHealthBook } from '../../core/disks/disk-health.ts';
import { type DeviceFacts, type DiskSpec, diskLabel, placeText, type Refusal, type ScannedPlace } from '../../core/disks/disk-types.ts';
import { contentText } from '../../core/disks/place-content.ts';
import type { SmartReport } from '../../core/disks/smart-report.ts';
import type { StorePlaces } from '../../core/server/thread-places.ts';
import type { SystemPaths } from './device-facts.ts';
import type { DirectoryRecords } from './directory-records.ts';
import { DiskCalls } from './disk-calls.ts';
import { failureOfChange } from './disk-errors.ts';
import { probeDevice, probeDirectory } from './disk-probe.ts';
import { type StepOptions, storePath, unfinishedPath, withFile, writeMarker } from './disk-stores.ts';
import { closeDisk, scanDisk } from './place-scan.ts';
import type { Smartctl } from './smartctl.ts';

/** One disk of the catalogue: looks at it one after the other, and changes one after the other. */
export class CataloguedDisk {
  readonly spec: DiskSpec;
  /** What was last seen. */
  report: DiskReport | null = null;
  readonly #around: DiskSurroundings;
  readonly #places: StorePlaces;
  readonly #calls: DiskCalls;
  readonly #health = new DiskHealthBook();
  /** The look that is under way, by the store that all is read of, for those that ask meanwhile. */
  readonly #looking = new Map<string | null, Promise<DiskReport>>();
  #lastLook: Promise<unknown> = Promise.resolve();
  #lastChange: Promise<unknown> = Promise.resolve();
  #changes = 0;
  #smart: SmartReport | null = null;
  #smartAtMs = Number.NEGATIVE_INFINITY;
  /** Whether the directory was without a marker when it was last seen. */
  #unmarked = false;

  constructor(spec: DiskSpec, places: StorePlaces, around: DiskSurroundings) {
    this.spec = spec;
    this.#around = around;
    this.#places = places;
    this.#calls = new DiskCalls(diskLabel(spec), places, () => around.world.clock.wallMs());
  }

  /** The path that a store with this UUID has, or would have. */
  pathOf(storeUuid: string): string {
    const { place } = this.spec;
    return place.kind === 'directory' ? storePath(place.path, storeUuid) : placeText(place);
  }

  /** Looks at the disk. `everything`: the store that all metadata is read of. Never rejects for what is wrong with the disk: the report says it. */
  look(everything: string | null): Promise<DiskReport> {
    const under = this.#looking.get(everything);
    if (under !== undefined) return under;
    const looking = this.#lastLook.then(() => this.#look(everything)).finally(() => this.#looking.delete(everything));
    this.#looking.set(everything, looking);
    this.#lastLook = looking.catch(() => {});
    return looking;
  }

  /** What a check needs to know of the place for this store. */
  placeFor(report: DiskReport, storeUuid: string): CheckedPlace {
    const { place } = this.spec;
    const isDirectory = place.kind === 'directory';
    const path = this.pathOf(storeUuid);
    // A store is found by its superblocks; its name only says where it would be.
    const own = isDirectory
      ? (report.places.find(({ content }) => content.kind === 'store' && content.store.storeUuid === storeUuid) ??
        report.places.find((each) => each.path === path))
      : report.places[0];
    return {
      label: diskLabel(this.spec),
      content: own?.content ?? { kind: 'empty' },
      unavailable: report.unavailable,
      use: report.use,
      roomBytes: isDirectory ? this.#roomWithout(report, unfinishedPath(place.path, storeUuid)) : report.roomBytes,
      freeBytes: isDirectory ? (report.freeBytes ?? 0) : null,
      sectorBytes: isDirectory ? null : (report.facts?.sectorBytes ?? null),
      neighbours: report.places.flatMap((each) => (each !== own && each.content.kind === 'store' ? [each.content.store] : [])),
    };
  }

  /** The room of a directory once a file is gone: what an earlier attempt has left is removed first. */
  #roomWithout({ places, capacityBytes, freeBytes, allocatedBytes, promisedBytes }: DiskReport, path: string): number {
    const leftBytes = places.find((each) => each.path === path)?.sizeBytes ?? 0;
    const space = { capacityBytes: capacityBytes ?? 0, freeBytes: freeBytes ?? 0, allocatedBytes: allocatedBytes ?? 0 };
    return directoryRoom({ ...space, promisedBytes: promisedBytes - leftBytes }, this.spec.overProvisioning);
  }

  /** Makes a change when those before it have ended. UNAVAILABLE: too many wait. */
  change<Result>(make: (places: StorePlaces) => Promise<Result>): Promise<Result> {
    if (this.#changes >= CHANGES_MAX)
      return Promise.reject(
        new OperationError('UNAVAILABLE', `${diskLabel(this.spec)} has ${this.#changes} changes to make already; ask again later`),
      );
    this.#changes++;
    const changing = this.#lastChange
      .then(() => make(this.#places))
      .catch((error: unknown) => {
        throw failureOfChange(diskLabel(this.spec), error);
      })
      .finally(() => {
        this.#changes--;
      });
    this.#lastChange = changing.catch(() => {});
    return changing;
  }

  /** Opens the device or export for a change. */
  async open(places: StorePlaces, use: (disk: Disk) => Promise<void>): Promise<void> {
    const { place } = this.spec;
    if (place.kind === 'device') return withFile(place.path, places, use);
    if (place.kind === 'directory' || this.#around.exports === null) throw this.#unsupported();
    const disk = await this.#around.exports.open(place.uri, 'write');
    try {
      await use(disk);
    } finally {
      await closeDisk(disk);
    }
  }

  /** Sees to it that the directory is known again. Before its first store is there. */
  async markUsed(report: DiskReport, options: StepOptions): Promise<void> {
    const { place, name } = this.spec;
    if (place.kind !== 'directory' || !this.#unmarked || report.unavailable !== null) return;
    const { records, world } = this.#around;
    const directoryUuid = randomUuid(world.random);
    // In this order: a marker that nobody remembers is adopted; one that is remembered and missing is a file system that is not mounted.
    await writeMarker(place.path, directoryUuid, options);
    options.beforeStep('remember the marker');
    records.set(name, directoryUuid);
    this.#unmarked = false;
    world.log.info('a directory was marked as that of a disk', { disk: name, path: place.path, directory: directoryUuid });
  }

  async #look(everything: string | null): Promise<DiskReport> {
    const seen = await this.#see(everything).catch((error: unknown): Seen => {
      if (!(error instanceof OperationError)) throw error;
      return { ...NOTHING, facts: this.report?.facts ?? null, unavailable: { code: error.code, sentence: this.#labelled(error.message) } };
    });
    this.#unmarked = seen.unmarked;
    this.#askSmart(seen.facts);
    this.report = this.#reportOf(seen);
    return this.report;
  }

  #see(everything: string | null): Promise<Seen> {
    const { place } = this.spec;
    const { system, exports, timeouts } = this.#around;
    const depth = everything === null ? 'superblocks' : 'everything';
    const timeoutMs = timeouts[depth];
    switch (place.kind) {
      case 'directory':
        return this.#calls
          .run(timeoutMs, () => probeDirectory(place.path, everything, system))
          .then((probe) => this.#judge(place.path, probe));
      case 'device':
        return this.#calls
          .run(timeoutMs, () => probeDevice(place.path, depth, system))
          .then(({ facts, use, place: found }) => ({ ...NOTHING, facts, use, places: [found] }));
      case 'export':
        if (exports === null) return Promise.reject(this.#unsupported());
        return this.#calls.run(timeoutMs, async () => {
          const disk = await exports.open(place.uri, 'read');
          try {
            const content = await scanDisk(disk, diskLabel(this.spec), depth);
            return { ...NOTHING, places: [{ path: place.uri, content, sizeBytes: disk.sizeBytes, allocatedBytes: null }] };
          } finally {
            await closeDisk(disk);
          }
        });
    }
  }

  #unsupported(): OperationError {
    return new OperationError(
      'UNSUPPORTED',
      `${diskLabel(this.spec)} is a remote export, and this release makes no stores on exports by order. Make the store with "storage-node store create" and name it under "stores" in the configuration, or use a directory or a device`,
    );
  }

  /** Whether the directory is the one that this disk has had so far. */
  #judge(path: string, { marker, mountedAt, ...probe }: Awaited<ReturnType<typeof probeDirectory>>): Seen {
    const { name } = this.spec;
    const { records, world } = this.#around;
    const others = new Map([...records.all].filter(([other]) => other !== name).map(([other, directoryUuid]) => [directoryUuid, other]));
    const verdict = directoryVerdict(records.all.get(name) ?? null, marker, others, { label: diskLabel(this.spec), path, mountedAt });
    const seen = { ...NOTHING, ...probe, mountedAt };
    // What is in another directory than that of the disk says nothing of the disk.
    if (typeof verdict === 'object')
      return { ...NOTHING, facts: probe.facts, mountedAt, fileSystem: probe.fileSystem, unavailable: verdict };
    if (verdict === 'adopt' && typeof marker === 'object') {
      records.set(name, marker.directoryUuid);
      world.log.info('the marker of a directory is remembered from now on', { disk: name, path, directory: marker.directoryUuid });
    }
    return { ...seen, unmarked: verdict === 'new' };
  }

  /** Asks SMART in the background, now and then; the next report has the answer. */
  #askSmart(facts: DeviceFacts | null): void {
    const device = facts?.type === 'disk' ? facts.device : facts?.type === 'partition' ? facts.parent : null;
    const nowMs = this.#around.world.clock.nowMs();
    if (device === null || device === undefined || nowMs - this.#smartAtMs < SMART_AGE_MS) return;
    this.#smartAtMs = nowMs;
    this.#around.smartctl.ask(`/dev/${device.replaceAll('!', '/')}`).then((report) => {
      this.#smart = report;
    });
  }

  #reportOf(seen: Seen): DiskReport {
    const { spec } = this;
    const { unavailable, use, facts, space, places } = seen;
    const wallMs = this.#around.world.clock.wallMs();
    const [whole] = spec.place.kind === 'directory' ? [] : places;
    const vacant = whole !== undefined && ['empty', 'unfinished', 'wiping'].includes(whole.content.kind);
    const roomBytes = space !== null ? directoryRoom(space, spec.overProvisioning) : vacant ? whole.sizeBytes : 0;
    const foreign = whole?.content.kind === 'foreign' || whole?.content.kind === 'data' ? contentText(whole.content) : null;
    const holdsStore = whole !== undefined && !vacant && foreign === null;
    const smart = this.#smart;
    const report = {
      ...{ spec, unavailable, use, facts, smart, places, foreign, roomBytes },
      ...{ mountedAt: seen.mountedAt, fileSystem: seen.fileSystem, lookedAtMs: wallMs },
      model: facts?.model ?? smart?.model ?? null,
      serial: facts?.serial ?? smart?.serial ?? null,
      capacityBytes: space?.capacityBytes ?? whole?.sizeBytes ?? null,
      freeBytes: space?.freeBytes ?? (whole === undefined ? null : roomBytes),
      allocatedBytes: space?.allocatedBytes ?? (holdsStore ? whole.sizeBytes : whole === undefined ? null : 0),
      promisedBytes: space?.promisedBytes ?? (holdsStore ? whole.sizeBytes : 0),
      health: this.#health.of({ label: diskLabel(spec), unavailable, use, smart, space, places }, wallMs),
      problem: null,
    };
    return { ...report, problem: checkPlace('create', this.placeFor(report, NIL_UUID), SMALLEST)?.sentence ?? null };
  }

  #labelled(message: string): string {
    const label = diskLabel(this.spec);
    return message.startsWith(label) ? message : `${label} can't be used: ${message}`;
  }
}

/**
 * Deadlines in milliseconds. A look at superblocks: a disk that is well answers within a second. A look at all metadata of a store: hundreds of
 * MiB for the largest.
 */
const LOOK_MS = 10_000;
const DEEP_LOOK_MS = 60_000;
export const LOOK_TIMEOUTS = { superblocks: LOOK_MS, everything: DEEP_LOOK_MS } as const;
/** How long what SMART says is good for. */
const SMART_AGE_MS = 10 * 60_000;
/** Changes of one disk that wait for one another. */
const CHANGES_MAX = 16;

/** Opens remote exports as disks. */
export interface ExportOpener {
  /** Rejects with an OperationError. `write`: the export is claimed as far as it can be. */
  open(uri: string, mode: 'read' | 'write'): Promise<Disk>;
}

/** What the disks of a node share. */
export interface DiskSurroundings {
  readonly world: Pick<World, 'clock' | 'random' | 'log'>;
  readonly records: DirectoryRecords;
  readonly system: SystemPaths;
  readonly smartctl: Smartctl;
  readonly exports: ExportOpener | null;
  readonly timeouts: { readonly superblocks: number; readonly everything: number };
}

/** What was seen of a disk. Sizes in bytes; null: not known. */
export interface DiskReport {
  readonly spec: DiskSpec;
  /** Why it can't be used at all; null: it can. */
  readonly unavailable: Refusal | null;
  /** What else uses it, to be read after "is"; null: nothing that can be seen. */
  readonly use: string | null;
  /** Why no store can be made on it, in a sentence; null: one can. */
  readonly problem: string | null;
  readonly facts: DeviceFacts | null;
  readonly smart: SmartReport | null;
  readonly model: string | null;
  readonly serial: string | null;
  /** Where the file system of a directory is mounted. */
  readonly mountedAt: string | null;
  readonly fileSystem: string | null;
  readonly capacityBytes: number | null;
  readonly freeBytes: number | null;
  /** What its stores have taken, and what they may take in all. */
  readonly allocatedBytes: number | null;
  readonly promisedBytes: number;
  /** The largest store that can be made. */
  readonly roomBytes: number;
  /** The files of stores, or the one place that it is. */
  readonly places: readonly ScannedPlace[];
  /** What is on it that is no store, for people; null: nothing that is known. */
  readonly foreign: string | null;
  readonly health: DiskHealth;
  /** Wall clock. */
  readonly lookedAtMs: number;
}

/** What a look finds, before anything is concluded. */
interface Seen {
  readonly unavailable: Refusal | null;
  readonly use: string | null;
  readonly facts: DeviceFacts | null;
  readonly mountedAt: string | null;
  readonly fileSystem: string | null;
  readonly space: DirectorySpace | null;
  readonly places: readonly ScannedPlace[];
  /** A directory that was never used. */
  readonly unmarked: boolean;
}

const NOTHING: Seen = {
  unavailable: null,
  use: null,
  facts: null,
  mountedAt: null,
  fileSystem: null,
  space: null,
  places: [],
  unmarked: false,
};
const NIL_UUID = '00000000-0000-0000-0000-000000000000';
/** A store that fits everywhere: what is refused to it is refused to every store. */
const SMALLEST: WantedStore = { storeUuid: NIL_UUID, poolUuid: NIL_UUID, poolName: '', memberId: 0, totalBytes: 1, metadataBytes: 1 };
