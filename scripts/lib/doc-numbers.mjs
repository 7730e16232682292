// Numbers that the documents name, against the constants that they stand for.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const UNITS = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, bytes: 1, ms: 1, s: 1000, min: 60_000, minutes: 60_000 };

/** A number that says how much: with a unit behind it. Numbers within words, names, versions and marks don't. */
const QUANTITY = /(?<![\w.◆#/-])\d(?:[\d,]*\d)?(?:\.\d+)?(?: ?(?:KiB|MiB|GiB|TiB|ms|s|seconds|minutes|bytes|B|%))(?!\w)/g;
/** Any number of two digits and more. */
const NUMBER = /(?<![\w.◆#/^-])\d(?:[\d,]*\d)?(?:\.\d+)?(?: ?(?:KiB|MiB|GiB|TiB|ms|s|seconds|minutes|bytes|B|%))?(?![\w.]\d|\w)/g;

/**
 * What the constants of some TypeScript files are: numbers that are put together from numbers and other constants of these files.
 * @param {string} root of the workspace
 * @param {readonly string[]} files relative to it
 * @returns {Map<string, number>}
 */
export function constantsOf(root, files) {
  /** @type {Map<string, number>} */
  const values = new Map(Object.entries({ KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30 }));
  for (const file of files) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const [, name = '', expression = ''] of text.matchAll(/^(?:export )?const ([A-Z][A-Z0-9_]*) = ([\w\s.*+\-/()]+);/gm)) {
      const value = evaluated(expression, values);
      if (value !== null) values.set(name, value);
    }
  }
  return values;
}

/**
 * @param {string} expression
 * @param {ReadonlyMap<string, number>} values
 * @returns {number | null} null: it is no number
 */
function evaluated(expression, values) {
  let unknown = false;
  const numbers = expression.replace(/\b[A-Z][A-Z0-9_]*\b/g, (name) => {
    const value = values.get(name);
    unknown ||= value === undefined;
    return `${value}`;
  });
  if (unknown || !/^[\d\s._*+\-/()x]+$/.test(numbers)) return null;
  const value = Function(`return (${numbers})`)();
  return typeof value === 'number' ? value : null;
}

/**
 * A text with `{NAME unit}` and `{NAME}` replaced by numbers as documents write them: `64 KiB`, `0.5 s`, `1,024`; `{NAME plain}` as `1024`.
 * @param {string} template
 * @param {ReadonlyMap<string, number>} values
 */
export function rendered(template, values) {
  return template.replace(/\{([^}]+?)(?: (\w+))?\}/g, (_all, expression, unit) => {
    const value = evaluated(expression, values);
    if (value === null) throw new Error(`"${expression}" in "${template}" is no constant`);
    if (unit === 'plain') return `${value}`;
    const divisor = unit === undefined ? 1 : UNITS[/** @type {keyof typeof UNITS} */ (unit)];
    const text = (value / divisor).toLocaleString('en-US', { maximumFractionDigits: 2 });
    return unit === undefined ? text : `${text} ${unit}`;
  });
}

/**
 * What a document says that the constants don't, and which of its numbers nothing stands for.
 * @param {string} text of the document
 * @param {import('./doc-number-table.mjs').DocumentNumbers} document
 * @param {ReadonlyMap<string, number>} values
 * @returns {string[]}
 */
export function numberComplaints(text, document, values) {
  /** @type {string[]} */
  const complaints = [];
  /** @type {(readonly [number, number])[]} */
  const covered = [];
  for (const template of document.says) {
    const phrase = rendered(template, values);
    // Wherever the lines break.
    const words = phrase.split(/\s+/).map((word) => word.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    const found = [...text.matchAll(new RegExp(words.join('\\s+'), 'g'))];
    if (found.length === 0) complaints.push(`it should say "${phrase}" (${template})`);
    for (const match of found) covered.push([match.index, match.index + match[0].length]);
  }
  for (const pattern of [/```[\s\S]*?```/g, /`[^`\n]*`/g, /\]\([^)]*\)/g, ...document.others]) {
    const found = [...text.matchAll(pattern)];
    if (found.length === 0 && document.others.includes(pattern)) complaints.push(`nothing in it matches ${pattern} any more`);
    for (const match of found) covered.push([match.index, match.index + match[0].length]);
  }
  for (const match of text.matchAll(document.all ? NUMBER : QUANTITY)) {
    if (document.all && !/[a-z%]/i.test(match[0]) && Number(match[0].replaceAll(',', '')) < 10) continue;
    const end = match.index + match[0].length;
    if (covered.some(([from, to]) => from <= match.index && end <= to)) continue;
    const line = text.slice(0, match.index).split('\n').length;
    complaints.push(`line ${line}: "${match[0]}" in "${text.slice(Math.max(0, match.index - 30), end + 20).replaceAll('\n', ' ')}"`);
  }
  return complaints;
}
