import { OperationError } from '@rmr/runtime';
import type { NodeAnswer, StoreOrder } from '../../core/commands/node-commands.ts';
import { diskLabel } from '../../core/disks/disk-types.ts';
import type { StoreSpec } from '../../core/server/kept-store.ts';
import type { StoreDisks } from '../../core/server/node-store-service.ts';
import type { DiskReport } from './catalogued-disk.ts';
import type { DiskCatalogue } from './disk-catalogue.ts';

/** The disks of a catalogue, as places for the stores that a storage node is told to keep. */
export class CatalogueStoreDisks<Spec extends StoreSpec> implements StoreDisks<Spec> {
  readonly #catalogue: DiskCatalogue;
  readonly #names: NodeNames;
  readonly #specFor: (path: string, order: StoreOrder) => Spec;

  /** `specFor`: how the store at a path is opened. */
  constructor(catalogue: DiskCatalogue, names: NodeNames, specFor: (path: string, order: StoreOrder) => Spec) {
    this.#catalogue = catalogue;
    this.#names = names;
    this.#specFor = specFor;
  }

  look(done: (look: NodeAnswer<'look'> | OperationError) => void): void {
    const names = this.#catalogue.names;
    Promise.all(names.map((name) => this.#lookSoon(name))).then((disks) => done({ ...this.#names, disks }));
  }

  make(order: StoreOrder, done: (error: OperationError | null) => void): void {
    const { disk, ...store } = order;
    settle(this.#catalogue.createStore(disk, store), done);
  }

  destroy({ disk, storeUuid, poolUuid }: StoreOrder, done: (error: OperationError | null) => void): void {
    // A file that has the name of the store is that store, whatever has become of its superblocks. Nothing of the kind shows on a device.
    const change = async (): Promise<void> =>
      this.#catalogue.wipeStore(disk, storeUuid, poolUuid, this.#catalogue.specOf(disk).place.kind === 'directory');
    settle(change(), done);
  }

  specOf(order: StoreOrder): Spec | null {
    const path = this.#catalogue.pathOf(order.disk, order.storeUuid);
    return path === null ? null : this.#specFor(path, order);
  }

  async #lookSoon(name: string): Promise<NodeAnswer<'look'>['disks'][number]> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<DiskReport | null>((resolve) => {
      timer = setTimeout(() => resolve(this.#catalogue.lastReport(name)), ANSWER_MS);
    });
    const report = await Promise.race([this.#catalogue.look(name), late]);
    clearTimeout(timer);
    if (report === null)
      return { name, kind: this.#catalogue.specOf(name).place.kind, capacityBytes: null, freeBytes: null, problem: 'it does not answer' };
    const { spec, capacityBytes, roomBytes, problem } = report;
    const label = `${diskLabel(spec)} `;
    // Those that ask name the disk themselves.
    const reason = problem?.startsWith(label) ? `it ${problem.slice(label.length)}` : (problem ?? '');
    // What others may use is what stores may still be promised, and not what happens to be free.
    return {
      name,
      kind: spec.place.kind,
      capacityBytes,
      freeBytes: capacityBytes === null ? null : roomBytes,
      problem: reason.slice(0, PROBLEM_LENGTH_MAX),
    };
  }
}

/** How long a question what disks there are waits for a disk, in milliseconds. One that takes longer is told as it was last seen. */
const ANSWER_MS = 2000;
/** As the schema of the answer has it. */
const PROBLEM_LENGTH_MAX = 512;

/** What a node is called in its answers. */
export interface NodeNames {
  readonly hostName: string;
  readonly hostUuid: string;
}

/** A change has ended. What is no operating failure is a bug. */
function settle(change: Promise<unknown>, done: (error: OperationError | null) => void): void {
  change.then(
    () => done(null),
    (error: unknown) => {
      if (!(error instanceof OperationError)) throw error;
      done(error);
    },
  );
}
