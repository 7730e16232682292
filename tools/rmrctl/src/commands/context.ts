/** Contexts: names for cluster files, of the person that types. */
import { resolve } from 'node:path';
import { readClusterFile } from '@rmr/cluster-view';
import type { Command } from 'commander';
import { contextFile, readContexts, writeContexts } from '../contexts.ts';
import { addListFlags, type Column, type ListFlags, listText, selectRows } from '../lists.ts';
import type { Surroundings } from '../surroundings.ts';
import { does, noun, verb } from './verbs.ts';

interface ContextRow {
  readonly name: string;
  readonly file: string;
  readonly isCurrent: boolean;
}

const COLUMNS: readonly Column<ContextRow>[] = [
  {
    key: 'name',
    title: 'NAME',
    value: ({ name }) => name,
    text: ({ name, isCurrent }, painter) => `${isCurrent ? '*' : ' '} ${painter.name(name)}`,
  },
  { key: 'file', title: 'CLUSTER FILE', value: ({ file }) => file, text: ({ file }) => file },
];

export function addContext(program: Command, world: Surroundings): void {
  const context = noun(program, 'context', 'Names for cluster files.');
  const list = addListFlags(
    verb(context, { usage: 'list', description: 'The contexts. The one in use has a star.', example: 'context list' }),
    COLUMNS,
    false,
  );
  does(world, list, (session, flags: ListFlags) => {
    const known = readContexts(world);
    const all = Object.entries(known.contexts).map(([name, file]) => ({ name, file, isCurrent: name === known.current }));
    const rows = selectRows(all, COLUMNS, flags);
    session.print({
      data: known,
      text: (painter) => listText(painter, rows, COLUMNS, false, 'There is no context yet. Add one: rmrctl context add NAME FILE'),
    });
  });
  const use = verb(context, { usage: 'use [name]', description: 'Uses this cluster from now on.', example: 'context use prod' });
  does(world, use, async (session, _flags: object, wanted?: string) => {
    const { contexts } = readContexts(world);
    const name =
      wanted ??
      (await session.choose(
        'context',
        Object.entries(contexts).map(([value, hint]) => ({ value, label: value, hint })),
      ));
    contextFile(world, name);
    writeContexts(world, { current: name, contexts });
    session.print({ data: { current: name }, text: (painter) => `${painter.mark('good')} ${painter.name(name)} is in use.` });
  });
  const add = verb(context, {
    usage: 'add <name> <file>',
    description: 'Gives a cluster file a name. The first one is in use at once.',
    example: 'context add prod /etc/rmr/prod.yaml',
  });
  does(world, add, (session, _flags: object, name: string, file: string) => {
    const path = resolve(world.folder, file);
    // A file that can't be understood is told now, and not when it is needed.
    readClusterFile(path);
    const { current, contexts } = readContexts(world);
    const known = { current: current ?? name, contexts: { ...contexts, [name]: path } };
    writeContexts(world, known);
    session.print({
      data: known,
      text: (painter) =>
        `${painter.mark('good')} ${painter.name(name)} stands for ${path}${known.current === name ? ', and is in use' : ''}.`,
    });
  });
}
