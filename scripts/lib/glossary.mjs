// The names in docs/glossary.md, against the code that they are said to be in.

/** The document. */
export const GLOSSARY = 'docs/glossary.md';

/** Tables whose rows name code: `| **word** | meaning | names |` and `| idea | names |`. */
const ROW = /^\|.*\|$/;
const NAME = /`([^`]+)`/g;

/**
 * Names in the glossary's tables that occur nowhere: neither in the code nor as a path.
 * @param {string} document text of {@link GLOSSARY}
 * @param {readonly string[]} code texts of the sources
 * @param {(path: string) => boolean} isPath
 * @returns {string[]}
 */
export function unknownNames(document, code, isPath) {
  const words = new Set(code.flatMap((text) => text.match(/[\w-]+/g) ?? []));
  const names = document.split('\n').flatMap((line) => (ROW.test(line) ? [...line.matchAll(NAME)].map(([, name = '']) => name) : []));
  return [...new Set(names)].filter((name) => !words.has(name) && !isPath(name));
}

/**
 * Words that the tables explain more than once.
 * @param {string} document
 * @returns {string[]}
 */
export function wordsTwice(document) {
  const words = document.split('\n').flatMap((line) => {
    const [, word] = /^\| \*\*(.+?)\*\*/.exec(line) ?? [];
    const [, rest = ''] = /^\| (.+?) \|/.exec(line) ?? [];
    return word === undefined ? [] : [rest];
  });
  return words.filter((word, index) => words.indexOf(word) !== index);
}
