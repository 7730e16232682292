import { OperationError } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import type { Caller, Role } from './roles.ts';
import { type AdminService, adminRouter } from './router.ts';

/** The role that each procedure needs. A new procedure has to be added here, so that somebody decides. */
const NEEDED: Readonly<Record<string, Role>> = {
  status: 'viewer',
  flush: 'operator',
  'pool.create': 'operator',
  'pool.forcePlan': 'viewer',
  'pool.force': 'admin',
  'pool.copyAnew': 'admin',
  'pool.replaceStore': 'admin',
  'volume.create': 'operator',
  'volume.map': 'operator',
  'volume.quorum': 'operator',
  'volume.seize': 'admin',
  'volume.takeOver': 'operator',
  'volume.unmap': 'operator',
  'volume.delete': 'admin',
  'member.add': 'operator',
  'member.remove': 'admin',
  'member.replace': 'admin',
  'member.maintenance': 'operator',
  'resync.limit': 'operator',
  'resync.pause': 'operator',
  'operation.list': 'viewer',
  'operation.show': 'viewer',
  'operation.cancel': 'operator',
  'disk.list': 'viewer',
  'event.page': 'viewer',
};

/** How a call ends when its input is nonsense: by its role (PERMISSION_DENIED), or by its input or the daemon's kind (anything else). */
async function call(path: string, role: Role, refused: (caller: Caller, procedure: string) => void): Promise<string> {
  const service = { refused, status: () => ({}), flush: async () => {}, notReady: () => null } as unknown as AdminService;
  const caller = adminRouter.createCaller({ service, caller: { name: 'somebody', role } }) as unknown as Record<string, unknown>;
  const found = path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], caller) as (
    input: unknown,
  ) => Promise<unknown>;
  try {
    await found({ nonsense: true });
  } catch (error) {
    const { cause } = error as Error;
    return cause instanceof OperationError ? cause.code : 'INVALID';
  }
  return 'OK';
}

describe('roles', () => {
  test('every procedure has the role that it needs, and there is no other procedure', () => {
    expect(Object.keys(adminRouter._def.procedures).sort()).toEqual(Object.keys(NEEDED).sort());
  });

  test.each(Object.entries(NEEDED))(
    '%s needs the role %s: lesser roles are refused, and the daemon is told of it',
    async (path, needed) => {
      const order: readonly Role[] = ['viewer', 'operator', 'admin'];
      for (const role of order) {
        const told: string[] = [];
        const outcome = await call(path, role, (caller, procedure) => told.push(`${caller.name} ${procedure}`));
        const suffices = order.indexOf(role) >= order.indexOf(needed);
        expect({ role, denied: outcome === 'PERMISSION_DENIED', told }).toEqual({
          role,
          denied: !suffices,
          told: suffices ? [] : [`somebody ${path}`],
        });
      }
    },
  );
});
