import type { ForceMember as ForceMemberView, ForcePlan as ForcePlanView, PoolOrders } from '@rmr/admin-api';
import type { ForceMember, ForcePlan, OperationDone } from '@rmr/rmr';
import { type Logger, OperationError } from '@rmr/runtime';
import type { MappedPool } from './mapped-pools.ts';
import { isoTime } from './status.ts';

/** The orders for the pools that this node maps. The log gets a line for each order, and one when it is carried out or refused. */
export function poolOrders(pools: readonly MappedPool[], log: Logger): PoolOrders {
  const order = (wanted: string, what: string, give: (pool: MappedPool, done: OperationDone) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      const pool = findPool(pools, wanted);
      const fields = { pool: pool.config.name, order: what };
      log.info('an operator gives an order', fields);
      give(pool, (error) => {
        if (error === null) {
          log.info('the order is carried out', fields);
          resolve();
        } else {
          log.warn('the order is not carried out', { ...fields, code: error.code, why: error.message });
          reject(error);
        }
      });
    });
  return {
    create: (wanted) => order(wanted, 'create', ({ client }, done) => client.create(done)),
    forcePlan: (wanted) => {
      const { client } = findPool(pools, wanted);
      const rolledBack = client.status().legs.filter((leg) => leg.rolledBack !== null);
      return planView(client.forcePlan(), new Set(rolledBack.map((leg) => leg.memberId)));
    },
    force: (wanted, leftBehind) =>
      order(wanted, `force, leaving behind ${leftBehind.length === 0 ? 'nobody' : `member ${leftBehind.join(', ')}`}`, ({ client }, done) =>
        client.force(leftBehind, done),
      ),
    copyAnew: (wanted, memberId, giveUp) =>
      order(wanted, `copy member ${memberId} anew${giveUp ? ', giving up last copies' : ''}`, ({ client }, done) =>
        client.membership.copyAnew(memberId, giveUp ? 'GIVE_UP' : 'KEEP', done),
      ),
    replaceStore: (wanted, memberId, giveUp) =>
      order(wanted, `replace the store of member ${memberId}${giveUp ? ', giving up last copies' : ''}`, ({ client }, done) =>
        client.membership.replaceStore(memberId, giveUp ? 'GIVE_UP' : 'KEEP', done),
      ),
  };
}

/** The pool with this name or UUID. Throws NOT_FOUND with the names of the pools that are mapped. */
export function findPool(pools: readonly MappedPool[], wanted: string): MappedPool {
  const found =
    pools.find(({ config }) => config.name === wanted) ?? pools.find(({ config }) => config.uuid.toLowerCase() === wanted.toLowerCase());
  if (found !== undefined) return found;
  const names = pools.map(({ config }) => config.name).join(', ') || 'none';
  throw new OperationError('NOT_FOUND', `pool ${wanted} is not mapped here; this node maps: ${names}`);
}

function planView({ refusal, members, leftBehind, sentence }: ForcePlan, rolledBack: ReadonlySet<number>): ForcePlanView {
  const view = ({ memberId, name, version, atMs, missingBytes, note }: ForceMember): ForceMemberView => ({
    memberId,
    name,
    version,
    at: atMs === null ? null : isoTime(atMs),
    // A rolled back store does not know what it has missed since.
    missingBytes: rolledBack.has(memberId) ? null : missingBytes,
    note,
  });
  return { refusal, members: members.map(view), leftBehind: leftBehind.map(view), sentence };
}
