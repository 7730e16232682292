/** Lists: rows with columns that can be sorted and filtered, for people and for programs alike. */
import { OperationError } from '@rmr/runtime';
import { type Command, Option } from 'commander';
import type { Painter } from './painter.ts';

/** A column of a list. */
export interface Column<Row> {
  /** The key of `--sort` and `--filter`. */
  readonly key: string;
  readonly title: string;
  /** What is sorted and filtered by. Null sorts last. */
  readonly value: (row: Row) => string | number | boolean | null;
  readonly text: (row: Row, painter: Painter) => string;
  /** See `TableColumn.goes`. */
  readonly goes?: number;
  /** Shown with `--uuids` alone. It can be sorted and filtered by all the same. */
  readonly uuid?: true;
}

export interface ListFlags {
  readonly sort?: string;
  readonly filter?: readonly string[];
  readonly watch?: true;
}

/** Adds the flags of lists. The help names the keys. */
export function addListFlags<Row>(command: Command, columns: readonly Column<Row>[], watch = true): Command {
  const keys = columns.map(({ key }) => key);
  command
    .option('--sort <key>', `order by: ${keys.join(', ')}; with - before the key, the greatest first`)
    .option('--filter <key=value...>', 'only rows where it holds; * stands for anything');
  return watch ? command.addOption(new Option('--watch', 'paint it again and again, until Ctrl-C')) : command;
}

/** The rows that are wanted, in the wanted order. Throws INVALID_ARGUMENT for an unknown key, with those that there are. */
export function selectRows<Row>(rows: readonly Row[], columns: readonly Column<Row>[], { sort, filter = [] }: ListFlags): readonly Row[] {
  let selected = [...rows];
  for (const text of filter) {
    const [, key = '', value = ''] = /^([^=]+)=(.*)$/.exec(text) ?? [];
    if (key === '') throw new OperationError('INVALID_ARGUMENT', `--filter "${text}": write KEY=VALUE; KEY is one of ${keysOf(columns)}`);
    const column = columnOf(columns, key, '--filter');
    const pattern = new RegExp(`^${value.split('*').map(escaped).join('.*')}$`, 'i');
    selected = selected.filter((row) => pattern.test(String(column.value(row) ?? '')));
  }
  if (sort === undefined) return selected;
  const direction = sort.startsWith('-') ? -1 : 1;
  const { value } = columnOf(columns, sort.replace(/^-/, ''), '--sort');
  return selected.sort((a, b) => order(value(a), value(b), direction));
}

function order(a: string | number | boolean | null, b: string | number | boolean | null, direction: number): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  return a < b ? -direction : a > b ? direction : 0;
}

function columnOf<Row>(columns: readonly Column<Row>[], key: string, flag: string): Column<Row> {
  const column = columns.find((each) => each.key === key.toLowerCase());
  if (column !== undefined) return column;
  throw new OperationError('INVALID_ARGUMENT', `${flag}: there is no key "${key}"; there are: ${keysOf(columns)}`);
}

function keysOf(columns: readonly { readonly key: string }[]): string {
  return columns.map(({ key }) => key).join(', ');
}

function escaped(text: string): string {
  return text.replace(/[.+?^${}()|[\]\\]/g, '\\$&');
}

/** The list as a table, or `empty` where it has no rows. */
export function listText<Row>(
  painter: Painter,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  uuids: boolean,
  empty: string,
): string {
  if (rows.length === 0) return empty;
  const shown = columns.filter(({ uuid }) => uuid === undefined || uuids);
  return painter.table(
    shown,
    rows.map((row) => shown.map(({ text }) => text(row, painter))),
  );
}
