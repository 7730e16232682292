/** How things look: marks, colours, bars, wrapped lines, tables. Nothing needs colour to be understood. */
import Table from 'cli-table3';
import pc from 'picocolors';
import stringWidth from 'string-width';
import wrapAnsi from 'wrap-ansi';
import type { Surroundings } from './surroundings.ts';

export class Painter {
  readonly look: Look;
  readonly #colours: ReturnType<typeof pc.createColors>;

  constructor(look: Look) {
    this.look = look;
    this.#colours = pc.createColors(look.colour);
  }

  mark(mark: Mark): string {
    const [text, ascii] = MARKS[mark];
    const { green, yellow, red, cyan, dim } = this.#colours;
    const paint = { good: green, degraded: yellow, down: red, moves: cyan, waits: yellow, idle: dim, unknown: yellow }[mark];
    return paint(this.look.ascii ? ascii : text);
  }

  name(text: string): string {
    return this.#colours.bold(text);
  }

  faint(text: string): string {
    return this.#colours.dim(text);
  }

  /** A bar of `cells` columns; `share` from 0 to 1. */
  bar(share: number, cells = 28): string {
    const full = Math.round(Math.min(1, Math.max(0, share)) * cells);
    const [on, off] = this.look.ascii ? ['#', '.'] : ['█', '░'];
    return on.repeat(full) + off.repeat(cells - full);
  }

  /** Text behind a head, wrapped to the width; the further lines begin under the text, or `indent` columns from the left. */
  lines(head: string, text: string, indent = stringWidth(head)): string {
    const { width } = this.look;
    if (!Number.isFinite(width)) return `${head}${text}`;
    const begin = stringWidth(head);
    // The first line has less room. It is filled up with what can't be broken, and that is taken away again.
    const filler = FILLER.repeat(Math.max(0, begin - indent));
    const room = Math.max(ROOM_MIN, width - indent);
    const joined = text.replace(NUMBER_AND_UNIT, '$1\u00a0$2');
    const wrapped = wrapAnsi(`${filler}${joined}`, room, { hard: true, trim: true }).replaceAll('\u00a0', ' ').split('\n');
    const [first = '', ...rest] = wrapped;
    return [`${head}${first.slice(filler.length)}`, ...rest.map((line) => `${' '.repeat(indent)}${line}`)].join('\n');
  }

  /**
   * A table without lines. Where it is too wide, the columns that matter least go; where even that is too wide, and on very narrow terminals,
   * each row becomes a block.
   */
  table(columns: readonly TableColumn[], rows: readonly (readonly string[])[]): string {
    const widths = columns.map(({ title }, index) =>
      rows.reduce((most, row) => Math.max(most, stringWidth(row[index] ?? '')), title.length),
    );
    let shown = columns.map((_, index) => index);
    const isTooWide = (): boolean => shown.reduce((sum, index) => sum + (widths[index] ?? 0) + GAP, -GAP) > this.look.width;
    const going = shown
      .filter((index) => columns[index]?.goes !== undefined)
      .sort((a, b) => (columns[a]?.goes ?? 0) - (columns[b]?.goes ?? 0));
    if (this.look.width <= BLOCKS_WIDTH) return this.#blocks(columns, rows);
    for (const least of going) if (isTooWide()) shown = shown.filter((index) => index !== least);
    if (isTooWide()) return this.#blocks(columns, rows);
    return drawTable(
      shown.map((index) => columns[index]?.title ?? ''),
      rows.map((row) => shown.map((index) => row[index] ?? '')),
    );
  }

  #blocks(columns: readonly TableColumn[], rows: readonly (readonly string[])[]): string {
    const label = Math.max(...columns.slice(1).map(({ title }) => title.length));
    return rows
      .map(([first = '', ...rest]) => {
        const facts = rest.flatMap((text, index) => {
          const title = (columns[index + 1]?.title ?? '').toLowerCase();
          return text === '' ? [] : [this.lines(`  ${title.padEnd(label)}  `, text)];
        });
        // A number alone says nothing: `member 2`.
        const head = /^\d+$/.test(first) ? `${columns[0]?.title.toLowerCase() ?? ''} ${first}` : first;
        return [head, ...facts].join('\n');
      })
      .join('\n\n');
  }
}

/** How the output is wanted. */
export interface Look {
  /** Columns of the terminal. In a pipe lines are never cut: infinite. */
  readonly width: number;
  readonly ascii: boolean;
  readonly colour: boolean;
}

export type Mark = 'good' | 'degraded' | 'down' | 'moves' | 'waits' | 'idle' | 'unknown';

const MARKS: Readonly<Record<Mark, readonly [string, string]>> = {
  good: ['✓', '+'],
  degraded: ['!', '!'],
  down: ['✗', 'x'],
  moves: ['…', '>'],
  waits: ['⧗', 'w'],
  idle: ['·', '-'],
  unknown: ['?', '?'],
};

/** Up to this width, each row of a table becomes a block. */
const BLOCKS_WIDTH = 60;
/** Between two columns. */
const GAP = 2;

/** The look of a stream, as flags and the environment have it. */
export function lookOf(world: Surroundings, stream: 'stdout' | 'stderr', ascii: boolean): Look {
  const { env, isTerminal, columns } = world;
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '';
  const terminal = isTerminal[stream];
  return {
    width: terminal ? columns : Number.POSITIVE_INFINITY,
    ascii: ascii || (locale !== '' && !/utf-?8/i.test(locale)),
    colour: terminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb',
  };
}

/** One column wide, and never broken. */
const FILLER = '#';
/** A line has room for so much at least, however narrow the terminal is. */
const ROOM_MIN = 20;
/** A number stays on the line of its unit: `22 min`, `61.3 GiB`. */
const NUMBER_AND_UNIT = /(\d) (s|min|h|days|B|[KMGTP]iB)\b/g;

/** A column of a table. */
export interface TableColumn {
  readonly title: string;
  /** Whether the column may go where the terminal is narrow, and in which order: 1 goes first. Absent: it stays. */
  readonly goes?: number | undefined;
}

const NO_LINES = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: ' '.repeat(GAP) },
};

function drawTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const style = { 'padding-left': 0, 'padding-right': 0, head: [], border: [] };
  const table = new Table({ head: [...columns], chars: NO_LINES, style });
  for (const row of rows) table.push([...row]);
  const lines = table.toString().split('\n');
  return lines.map((line) => line.trimEnd()).join('\n');
}
