import { CHUNK_BYTES_DEFAULT, storeBytes } from '@rmr/bitmap-store';
import { assert, OperationError, type World } from '@rmr/runtime';
import { checkPlace, type StorePurpose, type WantedStore } from '../../core/disks/disk-checks.ts';
import { DISKS_MAX, type DiskSpec, type Refusal } from '../../core/disks/disk-types.ts';
import type { PlacementDisk } from '../../core/disks/placement.ts';
import type { ThreadPlaces } from '../../core/server/thread-places.ts';
import { CataloguedDisk, type DiskReport, type DiskSurroundings, type ExportOpener, LOOK_TIMEOUTS } from './catalogued-disk.ts';
import { SYSTEM_PATHS, type SystemPaths } from './device-facts.ts';
import type { DirectoryRecords } from './directory-records.ts';
import { createInDirectory, createOnDisk, type NewStore, storePath, wipeFile, wipeOnDisk } from './disk-stores.ts';
import { Smartctl } from './smartctl.ts';

/**
 * The disks of a storage node: what they are, what is on them, and the changes of what is on them. The daemon drives it: nothing happens by
 * itself. A disk that hangs holds up nobody but those that ask for it, and these until a deadline.
 */
export class DiskCatalogue {
  readonly #disks = new Map<string, CataloguedDisk>();
  readonly #world: DiskCatalogueOptions['world'];
  readonly #surroundings: DiskSurroundings;
  readonly #beforeStep: (step: string) => void;

  constructor(options: DiskCatalogueOptions) {
    const {
      specs,
      world,
      threads,
      records,
      exports,
      system = SYSTEM_PATHS,
      smartctl = new Smartctl(),
      timeouts = LOOK_TIMEOUTS,
      beforeStep = () => {},
    } = options;
    assert(specs.length <= DISKS_MAX, 'disk catalogue: the configuration bounds the number of disks');
    this.#world = world;
    this.#beforeStep = beforeStep;
    this.#surroundings = { world, records, system, smartctl, timeouts, exports: exports ?? null };
    for (const spec of specs) {
      assert(!this.#disks.has(spec.name), 'disk catalogue: the configuration names each disk once');
      this.#disks.set(spec.name, new CataloguedDisk(spec, threads.join(), this.#surroundings));
    }
  }

  /** The names of the disks, as configured. */
  get names(): readonly string[] {
    return [...this.#disks.keys()];
  }

  /** What was last seen of each disk, without asking it; null: nothing yet. */
  get reports(): readonly (DiskReport | null)[] {
    return [...this.#disks.values()].map((disk) => disk.report);
  }

  /** What was last seen of one disk; null: nothing yet. Throws NOT_FOUND. */
  lastReport(name: string): DiskReport | null {
    return this.#disk(name).report;
  }

  /** The disk as configured. Throws NOT_FOUND. */
  specOf(name: string): DiskSpec {
    return this.#disk(name).spec;
  }

  /**
   * By which path the store is opened, by what was last seen: where its superblocks are, on whatever disk, as devices may have swapped their names. If it
   * was seen nowhere, or at several places, where its disk has it by its name. Null: there is no such disk.
   */
  pathOf(name: string, storeUuid: string): string | null {
    const seen = placesOf(storeUuid, this.reports);
    const [place] = seen;
    if (place !== undefined && seen.length === 1) return place.path;
    return this.#disks.get(name)?.pathOf(storeUuid) ?? null;
  }

  /** Looks at one disk. Takes 10 s at most; a disk that does not answer is told as unavailable. Rejects with NOT_FOUND for a name that is not configured. */
  async look(name: string): Promise<DiskReport> {
    return this.#disk(name).look(null);
  }

  /** Looks at every disk, all at a time. */
  lookAll(): Promise<readonly DiskReport[]> {
    return Promise.all([...this.#disks.values()].map((disk) => disk.look(null)));
  }

  /** Where the store is, by its superblocks. More than one place: there is a copy of it, and an operator has to say which one counts (L9). */
  async find(storeUuid: string): Promise<readonly FoundPlace[]> {
    return placesOf(storeUuid, await this.lookAll());
  }

  /**
   * Whether the disk may be used for this, after a fresh look at it and, for `attach`, at all metadata of the store. Null: it may. Rejects with
   * NOT_FOUND for a name that is not configured.
   */
  async check(purpose: StorePurpose, name: string, wanted: WantedStore): Promise<Refusal | null> {
    const disk = this.#disk(name);
    const report = await disk.look(wanted.storeUuid);
    const refusal = checkPlace(purpose, disk.placeFor(report, wanted.storeUuid), wanted);
    if (refusal !== null || purpose !== 'attach') return refusal;
    const places = await this.find(wanted.storeUuid);
    if (places.length <= 1) return null;
    return {
      code: 'CONFLICT',
      sentence: `store ${wanted.storeUuid} is there ${places.length} times (${places.map(({ path }) => path).join(', ')}): one is a copy. Find out which one is real, and take the others away`,
    };
  }

  /**
   * The store is to be used from this disk: from now on a directory counts only while it is the same one. Called before a store is attached.
   * Rejects with what makes the disk unavailable.
   */
  async markUsed(name: string): Promise<void> {
    const disk = this.#disk(name);
    await disk.change(async (places) => {
      const report = await disk.look(null);
      if (report.unavailable !== null) throw errorOf(report.unavailable);
      await disk.markUsed(report, { places, beforeStep: this.#beforeStep });
    });
  }

  /**
   * Makes a store. Called again with the same UUID, it goes on with what was cut short, or finds the store. Rejects with the refusal of
   * {@link checkPlace}, and as `createStore`.
   */
  async createStore(name: string, store: NewStore, acceptance: CreateAcceptance = {}): Promise<CreatedStore> {
    const disk = this.#disk(name);
    const { purpose = 'create', acceptSameDisk = false } = acceptance;
    const wanted = { ...wantedOf(store), acceptSameDisk };
    return disk.change(async (places) => {
      const options = { places, beforeStep: this.#beforeStep };
      const report = await disk.look(wanted.storeUuid);
      const place = disk.placeFor(report, wanted.storeUuid);
      const path = disk.pathOf(wanted.storeUuid);
      const { content } = place;
      const isThere = content.kind === 'store' && content.store.storeUuid === store.storeUuid;
      if (isThere && place.unavailable === null && content.store.poolUuid === store.poolUuid && content.store.memberId === store.memberId) {
        if (content.store.sizeBytes === store.sizeBytes && content.store.witness === (store.witness === true))
          return { path, existed: true };
      }
      refuse(checkPlace(purpose, place, wanted));
      if (disk.spec.place.kind === 'directory') {
        await disk.markUsed(report, options);
        await createInDirectory(disk.spec.place.path, store, options);
      } else {
        await disk.open(places, (opened) =>
          createOnDisk(opened, place.label, store, (found) => refuse(checkPlace(purpose, { ...place, content: found }, wanted)), options),
        );
      }
      this.#world.log.info('a store was made', { disk: name, path, store: store.storeUuid, pool: store.poolName, member: store.memberId });
      return { path, existed: false };
    });
  }

  /**
   * Wipes a store and gives its place back to the disk. It must not be open. Called again, it goes on with what was cut short; a store that is
   * not there was wiped. `damaged`: wipe it although its superblocks can't be read, so that nothing shows whose it was. Rejects with
   * STORE_FOREIGN (another store, or one of another pool), STORE_DAMAGED, STORE_LOCKED, STORE_VERSION_UNKNOWN, CONFLICT (the disk is in use),
   * IO_ERROR, and what makes the disk unavailable.
   */
  async wipeStore(name: string, storeUuid: string, poolUuid: string, damaged = false): Promise<void> {
    const disk = this.#disk(name);
    await disk.change(async (places) => {
      const options = { places, beforeStep: this.#beforeStep };
      const report = await disk.look(null);
      const { content, label, unavailable, use } = disk.placeFor(report, storeUuid);
      if (unavailable !== null) throw errorOf(unavailable);
      if (use !== null) throw new OperationError('CONFLICT', `${label} is ${use}: nothing was wiped. Release it first`);
      if (content.kind === 'store' && content.store.storeUuid === storeUuid && content.store.poolUuid !== poolUuid)
        throw new OperationError(
          'STORE_FOREIGN',
          `store ${storeUuid} on ${label} is of pool "${content.store.poolName}" (${content.store.poolUuid}), not of pool ${poolUuid}: nothing was wiped`,
        );
      const { place } = disk.spec;
      if (place.kind === 'directory') {
        const path = report.places.find((each) => each.content.kind === 'store' && each.content.store.storeUuid === storeUuid)?.path;
        await wipeFile(place.path, path ?? storePath(place.path, storeUuid), storeUuid, damaged, options);
      } else {
        await disk.open(places, (opened) => wipeOnDisk(opened, label, storeUuid, damaged, options));
      }
      this.#world.log.info('a store was wiped', { disk: name, store: storeUuid });
    });
  }

  /** The disks as `choosePlacement` takes them, by what was last seen. */
  placement(): readonly PlacementDisk[] {
    return [...this.#disks.values()].map(({ spec, report }) => ({
      name: spec.name,
      spare: spec.spare,
      problem: report === null ? 'it was not looked at yet' : report.problem,
      roomBytes: report?.roomBytes ?? 0,
    }));
  }

  #disk(name: string): CataloguedDisk {
    const disk = this.#disks.get(name);
    if (disk !== undefined) return disk;
    const names = this.names.length === 0 ? 'there are none' : `there are ${this.names.join(', ')}`;
    throw new OperationError('NOT_FOUND', `disk "${name}" is not among those that this node is configured with (${names})`);
  }
}

/** What a catalogue is made of. */
export interface DiskCatalogueOptions {
  readonly specs: readonly DiskSpec[];
  readonly world: Pick<World, 'clock' | 'random' | 'log'>;
  /** Threads of the process. Each disk joins as a store does: count disks and stores together in `threadsFor`. */
  readonly threads: ThreadPlaces;
  readonly records: DirectoryRecords;
  /** What opens remote exports; absent: this release can't, and says so. */
  readonly exports?: ExportOpener;
  readonly system?: SystemPaths;
  readonly smartctl?: Smartctl;
  /** Deadlines of a look at superblocks and of one at all metadata, in milliseconds. */
  readonly timeouts?: DiskSurroundings['timeouts'];
  /** For tests: called before each step of a change. */
  readonly beforeStep?: (step: string) => void;
}

/** What an operator accepts although it is refused otherwise. */
export interface CreateAcceptance {
  /** Default `create`. */
  readonly purpose?: 'create' | 'replace';
  readonly acceptSameDisk?: boolean;
}

export interface CreatedStore {
  /** To be opened by: a file, a device or a URI. */
  readonly path: string;
  /** It was there already, whole, from an earlier call. */
  readonly existed: boolean;
}

/** A store, and where it was found. */
export interface FoundPlace {
  readonly disk: string;
  readonly path: string;
}

function placesOf(storeUuid: string, reports: readonly (DiskReport | null)[]): readonly FoundPlace[] {
  return reports.flatMap((report) =>
    (report?.places ?? [])
      .filter(({ content }) => content.kind === 'store' && content.store.storeUuid === storeUuid)
      .map(({ path }) => ({ disk: report?.spec.name ?? '', path })),
  );
}

/** What a new store needs. Throws INVALID_ARGUMENT. */
function wantedOf(store: NewStore): WantedStore {
  const { storeUuid, poolUuid, poolName, memberId, sizeBytes, chunkSizeBytes = CHUNK_BYTES_DEFAULT, queueDepth, witness = false } = store;
  return {
    ...{ storeUuid, poolUuid, poolName, memberId },
    totalBytes: storeBytes(sizeBytes, chunkSizeBytes, queueDepth, { witness }),
    metadataBytes: storeBytes(sizeBytes, chunkSizeBytes, queueDepth, { witness: true }),
  };
}

function refuse(refusal: Refusal | null): void {
  if (refusal !== null) throw errorOf(refusal);
}

function errorOf({ code, sentence }: Refusal): OperationError {
  return new OperationError(code, sentence);
}
