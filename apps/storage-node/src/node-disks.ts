/** The disks of this storage node, and the stores that it was told to keep on them: what the configuration and `stateDir` say, put together. */
import { join } from 'node:path';
import type { DiskStatus, Disks } from '@rmr/admin-api';
import { NodeStoreService, type RememberedStore, type StoreKeeper, storeOrderSchema, type ThreadPlaces } from '@rmr/brmr';
import { CatalogueStoreDisks, DirectoryRecordFile, DiskCatalogue, type FileStoreSpec } from '@rmr/brmr/node';
import { RecordDirectory } from '@rmr/operations/node';
import { NO_RESYNC_ORDER, type ResyncOrder, type RmrServer } from '@rmr/rmr';
import type { Ticked, World } from '@rmr/runtime';
import { z } from 'zod';
import type { StorageNodeConfig } from './config.ts';
import { diskSpecsOf } from './disk-config.ts';
import { diskStatusOf } from './disk-status.ts';

export class NodeDisks implements Disks, Ticked {
  readonly #parts: NodeDisksParts;
  readonly #catalogue: DiskCatalogue;
  readonly #memory: RecordDirectory<RememberedStore>;
  readonly #resyncOrders: RecordDirectory<RememberedResync>;
  readonly #storeDisks: CatalogueStoreDisks<FileStoreSpec>;
  #service: NodeStoreService<FileStoreSpec> | null = null;
  #lookedMs = 0;
  #looking = false;

  /** Throws INVALID_CONFIG for what `stateDir` holds that can't be understood. */
  constructor(parts: NodeDisksParts) {
    const { world, config, hostUuid, threads } = parts;
    this.#parts = parts;
    this.#memory = new RecordDirectory({
      path: join(config.stateDir, 'stores'),
      what: 'list of stores',
      version: VERSION,
      schema: rememberedSchema,
      idOf: ({ order }) => order.storeUuid,
    });
    this.#resyncOrders = new RecordDirectory({
      path: join(config.stateDir, 'resync'),
      what: 'list of orders for resync',
      version: VERSION,
      schema: rememberedResyncSchema,
      idOf: ({ poolUuid }) => poolUuid,
    });
    const records = new DirectoryRecordFile(config.stateDir);
    this.#catalogue = new DiskCatalogue({ specs: diskSpecsOf(config.disks), world, threads, records });
    this.#storeDisks = new CatalogueStoreDisks(this.#catalogue, { hostName: config.name, hostUuid }, (path, { poolUuid }) => ({
      ...{ path, poolUuid, ioTimeoutMs: IO_TIMEOUT_MS, volatileCache: false },
    }));
  }

  /** The paths of the stores that the node was told to keep, as far as they are known before their disks were looked at. */
  get paths(): readonly string[] {
    return this.#memory.entries.flatMap(({ order }) => this.#storeDisks.specOf(order)?.path ?? []);
  }

  /** What an operator has ordered of the resync of a pool. */
  resyncOrderOf(poolUuid: string): ResyncOrder {
    const remembered = this.#resyncOrders.get(poolUuid);
    return remembered === null ? NO_RESYNC_ORDER : { paused: remembered.paused, rateBytes: remembered.rateBytes };
  }

  /** Looks at the disks, then opens the stores on them. Resolves when they are being opened: in a moment, or after the deadline of a look. */
  async start(keeper: StoreKeeper<FileStoreSpec>, rmr: RmrServer): Promise<NodeStoreService<FileStoreSpec>> {
    await this.#catalogue.lookAll();
    const { world } = this.#parts;
    const memory = this.#memory;
    const service = new NodeStoreService({
      log: world.log,
      keeper,
      disks: this.#storeDisks,
      memory: {
        entries: () => memory.entries,
        put: (store, done) => memory.put(store, done),
        delete: (storeUuid, done) => memory.delete(storeUuid, done),
      },
      resync: {
        of: (poolUuid) => rmr.pools().find(({ store }) => store.identity.poolUuid === poolUuid)?.resync ?? null,
        remember: (poolUuid, order, done) => {
          if (order.paused || order.rateBytes !== null) this.#resyncOrders.put({ poolUuid, ...order }, done);
          else this.#resyncOrders.delete(poolUuid, done);
        },
      },
    });
    this.#service = service;
    service.start();
    world.ticker.subscribe(this);
    return service;
  }

  /** Begins nothing any more. Resolves when what is being remembered is durable. */
  async stop(): Promise<void> {
    this.#parts.world.ticker.unsubscribe(this);
    await Promise.all([this.#memory.settled(), this.#resyncOrders.settled()]);
  }

  /** A store that should be open may be on a disk that has another name now, or is there again. */
  tick(nowMs: number): void {
    if (this.#looking || nowMs - this.#lookedMs < LOOK_MS || this.#service?.misses !== true) return;
    this.#lookedMs = nowMs;
    this.#looking = true;
    this.#catalogue.lookAll().then(() => {
      this.#looking = false;
      this.#service?.refresh();
    });
  }

  async list(): Promise<readonly DiskStatus[]> {
    const reports = await this.#catalogue.lookAll();
    return reports.map((report) => diskStatusOf(report, (storeUuid) => this.#service?.isOpen(storeUuid) === true));
  }
}

const VERSION = 1;
/** A disk hangs when it has requests and has done nothing for this long: as the default of `stores`. */
const IO_TIMEOUT_MS = 20_000;
/** How often the disks are looked at while a store that should be open is not, in milliseconds. */
const LOOK_MS = 10_000;

const rememberedSchema: z.ZodType<RememberedStore> = z.strictObject({
  order: storeOrderSchema,
  stage: z.enum(['MAKING', 'KEPT', 'GOING']),
  closed: z.boolean(),
  by: z.string(),
});

interface RememberedResync extends ResyncOrder {
  readonly poolUuid: string;
}

const rememberedResyncSchema: z.ZodType<RememberedResync> = z.strictObject({
  poolUuid: z.uuid(),
  paused: z.boolean(),
  rateBytes: z.int().min(1).nullable(),
});

export interface NodeDisksParts {
  readonly world: World;
  readonly config: StorageNodeConfig;
  readonly hostUuid: string;
  readonly threads: ThreadPlaces;
}
