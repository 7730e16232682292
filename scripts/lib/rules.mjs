// The rules of docs/protocol.md, against the places in the code that cite them by their short names.

/** The document that defines the rules. */
export const RULES_DOCUMENT = 'docs/protocol.md';

/** Code that cites them. */
const CODE = /^(libs|apps|tools|examples)\/.*\.[cm]?[jt]sx?$/;
/** Mutants name the step that they leave out by its number alone. */
const MUTANTS = /^tools\/sim\/src\/mutants\//;

/**
 * Claims of the pool (C), invariants (I), legs and members (L), resync (R), versions (V), writes (W), and step marks. A rule has a
 * number below 100, so that `R3` is one and the hexadecimal `C0FFEE` and the type `I64x2` are none.
 */
const NAME = '[CILRVW]\\d{1,2}|◆\\d{1,2}';
/** `#### W1: …` at any level of heading, and `| I1 | …`. */
const DEFINITION = new RegExp(`^(?:#+ (${NAME}):|\\| (${NAME}) \\|)`, 'gm');
const CITATION = new RegExp(`(?<![\\w.$])(${NAME})(?![\\w.$]*\\w)`, 'g');
const CITATION_OF_MUTANT = /^\s*mark: (\d+),/gm;

/** @typedef {import('./tidy.mjs').Complaint} Complaint */

/**
 * Rules that are cited and not defined, defined and not cited, and defined twice.
 * @param {string} document text of {@link RULES_DOCUMENT}
 * @param {ReadonlyMap<string, string>} files texts by path, relative to the root: those that are no code are passed over
 * @returns {Complaint[]}
 */
export function ruleComplaints(document, files) {
  /** @type {Complaint[]} */
  const complaints = [];
  /** @type {Map<string, number>} */
  const defined = new Map();
  for (const match of document.matchAll(DEFINITION)) {
    const name = match[1] ?? match[2] ?? '';
    const line = lineAt(document, match.index);
    if (defined.has(name)) complaints.push({ where: `${RULES_DOCUMENT}:${line}`, message: `${name} is defined twice` });
    defined.set(name, line);
  }
  const uncited = new Set(defined.keys());
  for (const [path, text] of files) {
    if (!CODE.test(path)) continue;
    for (const { name, at } of citationsIn(path, text)) {
      uncited.delete(name);
      if (defined.has(name)) continue;
      complaints.push({ where: `${path}:${lineAt(text, at)}`, message: `cites ${name}, which ${RULES_DOCUMENT} does not define` });
    }
  }
  for (const name of uncited)
    complaints.push({ where: `${RULES_DOCUMENT}:${defined.get(name)}`, message: `defines ${name}, which no code cites` });
  return complaints;
}

/**
 * @param {string} path
 * @param {string} text
 */
function* citationsIn(path, text) {
  for (const match of text.matchAll(CITATION)) yield { name: match[1] ?? '', at: match.index };
  if (!MUTANTS.test(path)) return;
  for (const match of text.matchAll(CITATION_OF_MUTANT)) yield { name: `◆${match[1]}`, at: match.index };
}

/**
 * @param {string} text
 * @param {number} at
 */
function lineAt(text, at) {
  return text.slice(0, at).split('\n').length;
}
