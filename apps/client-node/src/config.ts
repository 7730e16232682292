import {
  adminSection,
  durationValue,
  logSection,
  nameValue,
  nodeKeys,
  refuseEarlyDeath,
  refuseSharedAddresses,
  socketAccessValue,
  socketAddressListValue,
  socketAddressValue,
  timeoutValue,
  transportKeys,
  uuidValue,
} from '@rmr/daemon';
import { z } from 'zod';

/** The most members that a pool can have. */
export const POOL_MEMBERS_MAX = 8;

const memberSchema = z.strictObject({
  memberId: z.int().min(1).max(255).describe('place of the member in the pool'),
  name: nameValue().describe('name of the storage node, for people'),
  addresses: socketAddressListValue().describe('RTRS addresses of the storage node, one per path'),
});

/** One pool of the configuration. An order that maps a pool at run time gives the same. */
export const clientPoolSchema = z
  .strictObject({
    name: nameValue().describe('name of the pool, for people'),
    uuid: uuidValue().describe('identity of the pool'),
    exportName: nameValue().optional().describe("NBD export name; the pool's name unless given"),
    readOnly: z.boolean().default(false).describe('refuse requests that change data'),
    readPolicy: z.enum(['round-robin', 'min-inflight', 'preferred']).default('min-inflight').describe('how reads choose their leg'),
    preferredMember: z.int().min(1).max(255).optional().describe('the member that reads go to first with the read policy "preferred"'),
    queueDepth: z.int().min(1).max(1024).default(128).describe('number of IO units; at most the number that the stores were created with'),
    ioTimeout: timeoutValue({ millisecondsMin: 1000 })
      .prefault('never')
      .describe('IO fails with EIO when it could not be served for this long; "never": IO waits without end'),
    legTimeout: durationValue({ millisecondsMin: 1000 })
      .default(30_000)
      .describe('a leg that leaves an IO unanswered for this long leaves the in-sync set'),
    legSlowFactor: z
      .number()
      .min(2)
      .nullable()
      .default(20)
      .describe(
        'a leg holds up IO when it takes this many times as long as the other legs, and more than 50 ms, or when it answers nothing for a second; a leg that does so again and again leaves the in-sync set; null: no leg leaves for that',
      ),
    legSlowFor: durationValue({ millisecondsMin: 1000 })
      .default(30_000)
      .describe(
        'a leg leaves the in-sync set when, within the last so much time, it has held up IO for a third of the time with IO; status names a leg that has held up IO for a tenth',
      ),
    legReturnHold: durationValue({ millisecondsMin: 100 })
      .default(600)
      .describe(
        'the return of a member may hold up IO for this long at most because the member does not answer; then the return is given up, and tried again later',
      ),
    legReturnDelayMax: durationValue({ millisecondsMin: 1000 })
      .default(600_000)
      .describe(
        'a member that leaves for its own fault again and again waits longer each time before its return is tried; this is the longest wait',
      ),
    quorum: z
      .enum(['none', 'majority'])
      .optional()
      .describe(
        "quorum with which the pool is created (none unless given); after that the pool's own records count, and status says where this value differs from them. majority: IO waits until most members have recorded which members are in sync",
      ),
    witness: memberSchema.optional().describe('a member without data that votes with the others; used when the pool is created'),
    members: z
      .array(memberSchema)
      .min(1, 'is empty; write at least one member')
      .max(POOL_MEMBERS_MAX, `has too many members; a pool has at most ${POOL_MEMBERS_MAX}`)
      .describe('the storage nodes that mirror this pool'),
  })
  .superRefine((pool, context) => {
    const memberIds = new Set<number>();
    for (const [index, member] of pool.members.entries()) {
      if (memberIds.has(member.memberId)) {
        context.addIssue({
          code: 'custom',
          path: ['members', index, 'memberId'],
          message: `${member.memberId} is used by another member of pool ${pool.name}; write another number`,
        });
      }
      memberIds.add(member.memberId);
    }
    if (pool.witness !== undefined && memberIds.has(pool.witness.memberId)) {
      context.addIssue({
        code: 'custom',
        path: ['witness', 'memberId'],
        message: `${pool.witness.memberId} is used by a member of pool ${pool.name}; write another number`,
      });
    }
    refuseDoubles(pool, context);
    if (pool.readPolicy === 'preferred' && pool.preferredMember === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['preferredMember'],
        message: 'is missing; the read policy "preferred" needs the id of a member',
      });
    }
    if (pool.preferredMember !== undefined && !memberIds.has(pool.preferredMember)) {
      context.addIssue({
        code: 'custom',
        path: ['preferredMember'],
        message: `${pool.preferredMember} is no member of pool ${pool.name}; write one of ${[...memberIds].join(', ')}`,
      });
    }
  });

interface Members {
  readonly name: string;
  readonly members: readonly z.output<typeof memberSchema>[];
  readonly witness?: z.output<typeof memberSchema> | undefined;
}

/** Refuses names and addresses that are given twice. Members with one name can't be told apart; two with one address are a single store. */
function refuseDoubles(pool: Members, context: z.core.$RefinementCtx): void {
  const owners = new Map<string, string>();
  const places = [
    ...pool.members.map((member, index) => ({ member, path: ['members', index], who: `member ${member.memberId}` })),
    ...(pool.witness === undefined
      ? []
      : [{ member: pool.witness, path: ['witness'], who: `the witness, member ${pool.witness.memberId}` }]),
  ];
  for (const { member, path, who } of places) {
    const claims = [
      { text: member.name, key: `name ${member.name}`, path: [...path, 'name'], advice: 'each needs a name of its own' },
      ...member.addresses.map((address, index) => ({
        text: address,
        key: `address ${address}`,
        path: [...path, 'addresses', index],
        advice: 'a storage node has one store of a pool; correct one of the two',
      })),
    ];
    for (const claim of claims) {
      const other = owners.get(claim.key);
      if (other === undefined) {
        owners.set(claim.key, who);
      } else {
        const message = `"${claim.text}" is given for ${other} and for ${who} of pool ${pool.name}; ${claim.advice}`;
        context.addIssue({ code: 'custom', path: claim.path, message });
      }
    }
  }
}

/**
 * The configuration of a client node. Its validated form has durations in milliseconds; an `ioTimeout` of null means never.
 */
export const clientNodeConfigSchema = z
  .strictObject({
    ...nodeKeys('client node'),
    admin: adminSection('tcp://127.0.0.1:4812'),
    nbd: z
      .strictObject({
        listen: z
          .array(socketAddressValue())
          .default(['tcp://127.0.0.1:10809'])
          .refine((list) => new Set(list).size === list.length, 'names an address twice; write each once')
          .describe('addresses that NBD clients connect to, tcp://HOST:PORT or unix:/PATH'),
        exportWait: timeoutValue({ millisecondsMax: 86_400_000 })
          .prefault('0s')
          .describe(
            'how long an NBD client waits for an export whose pool is not served yet; 0s: the client is refused at once, with the reason; "never": the client waits without end',
          ),
        socket: socketAccessValue().prefault({}),
        connections: z.int().min(1).max(4096).default(256).describe('most NBD connections at a time'),
      })
      .prefault({}),
    pools: z.array(clientPoolSchema).default([]).describe('the pools that this node serves and exports'),
    log: logSection(),
    transport: z
      .strictObject({
        pathPolicy: z
          .enum(['round-robin', 'min-inflight', 'min-latency'])
          .default('min-inflight')
          .describe('how a session chooses the path of a message'),
        ...transportKeys(),
      })
      .prefault({}),
  })
  .superRefine((config, context) => {
    refuseSharedAddresses(
      [
        ...config.nbd.listen.map((address, index) => ({ path: ['nbd', 'listen', index], address })),
        { path: ['admin', 'listen'], address: config.admin.listen },
      ],
      context,
    );
    refuseEarlyDeath(config.transport, context);
    const uuids = new Set<string>();
    const exportNames = new Set<string>();
    for (const [index, pool] of config.pools.entries()) {
      if (uuids.has(pool.uuid)) {
        context.addIssue({ code: 'custom', path: ['pools', index, 'uuid'], message: 'is used by another pool; a pool can be mapped once' });
      }
      uuids.add(pool.uuid);
      const exportName = pool.exportName ?? pool.name;
      if (exportNames.has(exportName)) {
        context.addIssue({
          code: 'custom',
          path: ['pools', index, 'exportName'],
          message: `"${exportName}" is the export name of another pool; write another`,
        });
      }
      exportNames.add(exportName);
    }
  });

/** The validated configuration of a client node. */
export type ClientNodeConfig = z.output<typeof clientNodeConfigSchema>;
/** One pool of {@link ClientNodeConfig}. */
export type ClientPoolConfig = ClientNodeConfig['pools'][number];
/** The configuration of a client node as it is written in a file. */
export type ClientNodeConfigFile = z.input<typeof clientNodeConfigSchema>;
