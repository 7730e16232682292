/** The tables of one document, and which of them a test has compared with something. */
export class CheckedTables {
  readonly #tables: readonly DocumentTable[];
  readonly #taken = new Set<DocumentTable>();

  /** `markdown`: the part of a document that the test is for. */
  constructor(markdown: string) {
    this.#tables = tablesOf(markdown);
  }

  /** The table below the heading that has these names of columns, of which the first few suffice. There has to be exactly one. */
  take(section: string, ...columns: readonly string[]): DocumentTable {
    const fitting = this.#tables.filter((table) => table.section === section && columns.every((name, i) => table.header[i] === name));
    const [table] = fitting;
    if (table === undefined || fitting.length > 1)
      throw new Error(`"${section}" has ${fitting.length} tables with the columns ${columns.join(', ')}`);
    this.#taken.add(table);
    return table;
  }

  /** Those that nothing has taken. */
  get left(): readonly string[] {
    return this.#tables.filter((table) => !this.#taken.has(table)).map(({ section, header }) => `${section}: ${header.join(' | ')}`);
  }
}

/**
 * Tables of the documents that describe formats, for tests that compare them with code. A table is found by the heading that it stands
 * below.
 */
export interface DocumentTable {
  /** The heading that it stands below, without its marks. */
  readonly section: string;
  /** The cells of its first row. */
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const HEADING = /^#+ (.*)$/;
const ROW = /^\|(.*)\|$/;
const RULE = /^\|[\s:|-]+\|$/;

/** All tables of a Markdown document, in their order. */
export function tablesOf(markdown: string): readonly DocumentTable[] {
  const tables: DocumentTable[] = [];
  let section = '';
  let rows: (readonly string[])[] = [];
  const end = () => {
    const [header, ...others] = rows;
    if (header !== undefined) tables.push({ section, header, rows: others });
    rows = [];
  };
  let inCode = false;
  for (const line of markdown.split('\n')) {
    if (line.startsWith('```')) inCode = !inCode;
    const [, cells] = (inCode ? null : ROW.exec(line.trim())) ?? [];
    if (cells === undefined) end();
    else if (!RULE.test(line.trim())) rows.push(cells.split('|').map((cell) => cell.trim()));
    const [, heading] = (inCode ? null : HEADING.exec(line)) ?? [];
    if (heading !== undefined) section = heading.replaceAll('`', '');
  }
  end();
  return tables;
}

/** What stands in the bytes of a field: a number, little-endian; bytes; or anything, where another test knows better. */
export type FieldValue = number | Uint8Array | 'any';

/** The name of a field in a cell: what stands before the first mark of punctuation. */
function fieldName(cell: string): string {
  return (/^[^:,;.(]*/.exec(cell)?.[0] ?? '').trim();
}

/**
 * What is wrong with a table of offsets, sizes and fields, measured by bytes that the code has made. The fields lie behind one another
 * and fill `bytes`, each has the value that is given for its name, and every value that is given has its field. `reserved` is zero.
 */
export function layoutComplaints(table: DocumentTable, bytes: Uint8Array, values: Readonly<Record<string, FieldValue>>): readonly string[] {
  const complaints: string[] = [];
  const missing = new Set(Object.keys(values));
  let end = 0;
  for (const [offset = '', size = '', cell = ''] of table.rows) {
    const at = Number(offset);
    const name = fieldName(cell);
    if (at !== end) complaints.push(`${name} is at ${offset}, and the field before ends at ${end}`);
    end = at + Number(size);
    missing.delete(name);
    const expected = name === 'reserved' ? new Uint8Array(end - at) : values[name];
    if (expected === undefined) complaints.push(`${name} is no field`);
    else if (!hasValue(bytes.subarray(at, end), expected)) complaints.push(`${name} is not what stands at ${offset}, with size ${size}`);
  }
  if (end !== bytes.length) complaints.push(`the fields end at ${end}, and the bytes at ${bytes.length}`);
  for (const name of missing) complaints.push(`${name} has no row`);
  return complaints;
}

function hasValue(bytes: Uint8Array, expected: FieldValue): boolean {
  if (expected === 'any') return true;
  if (typeof expected === 'number') return bytes.length <= 8 && bytes.reduceRight((sum, byte) => sum * 256 + byte, 0) === expected;
  return bytes.length === expected.length && bytes.every((byte, i) => byte === expected[i]);
}

/** Names with the numbers before them, as in `1 FUA, 2 NO_HOLE: …`. */
export function numberedNames(text: string): Readonly<Record<string, number>> {
  return Object.fromEntries([...text.matchAll(/(?<![\w-])(\d+) ([A-Z][A-Z0-9_]+)(?!\w)/g)].map(([, value, name]) => [name, Number(value)]));
}

/** The rows of a table by number and name: `| 1 | HELLO | …` is `HELLO: 1`. */
export function rowNames(table: DocumentTable): Readonly<Record<string, number>> {
  return Object.fromEntries(table.rows.map(([value, name]) => [name, Number(value)]));
}

/** Texts in code font, in their order. */
export function codeWords(cell: string): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word as string);
}

/** Fields with their sizes in a text such as `epoch (8), name length (2), name`: those that have a size, as `epoch 8`. */
export function sizedFields(text: string): readonly string[] {
  return [...text.matchAll(/([a-zA-Z+][\w +]*?) \((\d+)\)/g)].map(([, name, size]) => `${name} ${size}`);
}

const UNITS: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** Sizes in a text, in bytes: `1 MiB − 4 KiB` is one. NaN where the text begins with none. */
export function sizeOf(text: string): number {
  const [, value, unit = '', minus] = /^([\d.]+)(?: (B|KiB|MiB|GiB))?(?: − (.*))?/.exec(text) ?? [];
  return Number(value) * (UNITS[unit] as number) - (minus === undefined ? 0 : sizeOf(minus));
}
