/** Operations: changes that take more than a moment. */
import { ask, findOperation, listOperations } from '@rmr/cluster-view';
import type { Command } from 'commander';
import { OPERATION_COLUMNS } from '../columns.ts';
import { addListFlags, type ListFlags, listText, selectRows } from '../lists.ts';
import { showOperation } from '../progress.ts';
import { durationOf, type Session, wholeNumber } from '../session.ts';
import type { Surroundings } from '../surroundings.ts';
import { operationScreen } from '../volume-screen.ts';
import { does, noun, verb } from './verbs.ts';

interface OperationFlags extends ListFlags {
  readonly unfinished?: true;
  readonly volume?: string;
  readonly limit: string;
}

export function addOperation(program: Command, world: Surroundings): void {
  const operation = noun(program, 'operation', 'Operations: changes that take more than a moment.');
  const list = verb(operation, {
    usage: 'list',
    description: 'Operations of all client nodes, the newest first.',
    example: 'operation list --unfinished',
  })
    .option('--unfinished', 'only those that go on')
    .option('--volume <volume>', 'only those of this volume')
    .option('--limit <number>', 'how many', '50');
  does(world, addListFlags(list, OPERATION_COLUMNS, false), async (session, flags: OperationFlags) => {
    const limit = wholeNumber('--limit', flags.limit, 1, 200);
    const { operations, unheard } = await listOperations(session.cluster, {
      unfinished: flags.unfinished === true,
      target: flags.volume ?? null,
      limit,
    });
    const rows = selectRows(operations, OPERATION_COLUMNS, flags);
    session.print({
      data: rows,
      text: (painter) => listText(painter, rows, OPERATION_COLUMNS, session.flags.uuids === true, 'There is no operation.'),
    });
    for (const { node, why } of unheard) session.say(`${session.aside.mark('unknown')} ${node}  its operations are not known: ${why}`);
  });
  const show = verb(operation, {
    usage: 'show [id]',
    description: 'One operation. Its id may be shortened, as long as it is clear.',
    example: 'operation show 7f3a',
  });
  does(world, show, async (session, _flags: object, id?: string) => {
    const found = await findOperation(session.cluster, await idOf(session, id));
    session.print({ data: found.operation, text: (painter) => operationScreen(painter, found.operation, world.now()) });
  });
  const wait = verb(operation, {
    usage: 'wait [id]',
    description: 'Follows an operation to its end.',
    example: 'operation wait 7f3a --timeout 60s',
  }).option('--timeout <time>', 'follow it for so long at most; it goes on');
  does(world, wait, async (session, flags: { timeout?: string }, id?: string) => {
    const timeoutMs = durationOf(flags.timeout);
    const found = await findOperation(session.cluster, await idOf(session, id));
    const ended = await showOperation(session, found.node, found.operation, timeoutMs);
    session.print({ data: ended, text: (painter) => operationScreen(painter, ended, world.now()) });
  });
  const cancel = verb(operation, {
    usage: 'cancel [id]',
    description: 'Asks for the end of an operation. What can be undone is undone.',
    example: 'operation cancel 7f3a',
  });
  does(world, cancel, async (session, _flags: object, id?: string) => {
    const found = await findOperation(session.cluster, await idOf(session, id));
    const cancelled = await ask(found.node, (admin) => admin.operation.cancel.mutate({ id: found.operation.id }));
    session.print({ data: cancelled, text: (painter) => operationScreen(painter, cancelled, world.now()) });
  });
}

async function idOf(session: Session, id: string | undefined): Promise<string> {
  if (id !== undefined) return id;
  const { operations } = await listOperations(session.cluster, { unfinished: true });
  return session.choose(
    'operation',
    operations.map(({ id: value, kind, targetName, state }) => ({ value, label: `${kind} of ${targetName}`, hint: state.toLowerCase() })),
  );
}
