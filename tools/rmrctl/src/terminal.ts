/** How things look: marks, colours, sizes, times, tables. Without a terminal there is no colour; nothing needs colour to be understood. */
import { formatSize } from '@rmr/runtime';
import Table from 'cli-table3';
import pc from 'picocolors';

/** How the output is wanted. */
export interface Look {
  /** Columns of the terminal. In a pipe lines are never cut. */
  readonly width: number;
  readonly ascii: boolean;
  readonly colour: boolean;
  /** Whether lines can be painted again. */
  readonly live: boolean;
}

export type Mark = 'good' | 'degraded' | 'down' | 'moves' | 'waits' | 'idle' | 'unknown';

const MARKS: Readonly<Record<Mark, readonly [string, string]>> = {
  good: ['✓', 'ok'],
  degraded: ['!', '!'],
  down: ['✗', 'x'],
  moves: ['…', '..'],
  waits: ['⧗', 'w'],
  idle: ['·', '-'],
  unknown: ['?', '?'],
};

/** The look of standard output, as flags and the environment have it. */
export function lookOf(flags: { readonly ascii?: boolean | undefined }): Look {
  const { stdout, env } = process;
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '';
  return {
    width: stdout.isTTY ? stdout.columns : Number.POSITIVE_INFINITY,
    ascii: flags.ascii === true || (stdout.isTTY && locale !== '' && !/utf-?8/i.test(locale)),
    colour: stdout.isTTY && env['NO_COLOR'] === undefined && env['TERM'] !== 'dumb',
    live: stdout.isTTY && env['TERM'] !== 'dumb',
  };
}

export class Painter {
  readonly look: Look;
  readonly #colours: ReturnType<typeof pc.createColors>;

  constructor(look: Look) {
    this.look = look;
    this.#colours = pc.createColors(look.colour);
  }

  mark(mark: Mark): string {
    const [text, ascii] = MARKS[mark];
    const shown = this.look.ascii ? ascii : text;
    const { green, yellow, red, cyan, dim } = this.#colours;
    const paint = { good: green, degraded: yellow, down: red, moves: cyan, waits: yellow, idle: dim, unknown: yellow }[mark];
    return paint(shown);
  }

  name(text: string): string {
    return this.#colours.bold(text);
  }

  faint(text: string): string {
    return this.#colours.dim(text);
  }

  bar(share: number, cells = 28): string {
    const full = Math.round(Math.min(1, Math.max(0, share)) * cells);
    const [on, off] = this.look.ascii ? ['#', '.'] : ['█', '░'];
    return on.repeat(full) + off.repeat(cells - full);
  }

  /**
   * A table without lines. Where it is too wide, the columns that matter least go, as `drop` names them, first the first; where even that is
   * too wide, each row becomes a block.
   */
  table(columns: readonly string[], rows: readonly (readonly string[])[], drop: readonly string[] = []): string {
    let shown = columns.map((_, index) => index);
    for (const column of ['', ...drop]) {
      shown = shown.filter((index) => columns[index] !== column);
      const text = drawTable(
        shown.map((index) => columns[index] as string),
        rows.map((row) => shown.map((index) => row[index] ?? '')),
      );
      if (widthOf(text) <= this.look.width) return text;
    }
    const label = Math.max(...shown.map((index) => (columns[index] as string).length));
    return rows
      .map((row) => shown.map((index) => `${(columns[index] as string).padEnd(label)}  ${row[index] ?? ''}`).join('\n'))
      .join('\n\n');
  }
}

const NO_LINES = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ' },
};

function drawTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: [...columns],
    chars: NO_LINES,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  });
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

function widthOf(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are escape sequences
  return Math.max(...text.split('\n').map((line) => line.replace(/\u001b\[[0-9;]*m/g, '').length));
}

/** A duration: `40 s`, `6 min`, `1 h 40 min`. */
export function spanText(seconds: number): string {
  if (seconds < 100) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.round(hours / 24)} days`;
}

/** A moment: `since 02:47 (25 min)`. */
export function sinceText(iso: string): string {
  const at = new Date(iso);
  const clock = at.toTimeString().slice(0, 5);
  const seconds = (Date.now() - at.getTime()) / 1000;
  const day = seconds > 20 * 3600 ? `${at.toISOString().slice(0, 10)} ` : '';
  return `since ${day}${clock} (${spanText(Math.max(0, seconds))})`;
}

export function sizeText(bytes: number | null): string {
  return bytes === null ? '?' : formatSize(bytes);
}
