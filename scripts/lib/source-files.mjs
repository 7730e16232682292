// The source files of a project, and what each of them imports.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync } from 'vite';

const IGNORED_FOLDERS = new Set(['node_modules', 'dist', '.next', '.nx', '.rmr', '.cache', 'coverage', '.git']);
const SOURCE_FILE = /\.[cm]?[jt]sx?$/;
const TEST_FILE = /(\.(test|fuzz|sim)\.[cm]?[jt]sx?|(^|\/)vitest\.config\.[cm]?[jt]s)$/;
const TEST_FOLDER = /(^|\/)(test|tests|fixtures)\//;

/**
 * All files below a folder, relative to it, except what is generated or installed.
 * @param {string} folder absolute
 * @param {string} [prefix]
 * @returns {string[]}
 */
export function listFiles(folder, prefix = '') {
  const files = [];
  for (const entry of readdirSync(join(folder, prefix), { withFileTypes: true })) {
    const path = prefix ? `${prefix}/${entry.name}` : entry.name;
    if (entry.isDirectory()) {
      if (!IGNORED_FOLDERS.has(entry.name)) files.push(...listFiles(folder, path));
    } else if (entry.isFile()) {
      files.push(path);
    }
  }
  return files.sort();
}

/** @param {string} path */
export function isSourceFile(path) {
  return SOURCE_FILE.test(path);
}

/**
 * Files that are never part of a program: they may use what production code may not.
 * @param {string} path relative to the project
 */
export function isTestFile(path) {
  return TEST_FILE.test(path) || TEST_FOLDER.test(path);
}

/**
 * Every module that a file imports or re-exports, types included, with its line. Throws when the file can't be parsed.
 * @param {string} path for its extension and for errors
 * @param {string} text
 * @returns {{ specifier: string, line: number }[]}
 */
export function importsOf(path, text) {
  const parsed = parseSync(path, text);
  if (parsed.errors.length > 0) throw new Error(`${path} can't be parsed: ${parsed.errors[0].message}`);
  /** @type {Map<number, string>} */
  const byPosition = new Map();
  for (const { moduleRequest } of parsed.module.staticImports) byPosition.set(moduleRequest.start, moduleRequest.value);
  for (const { entries } of parsed.module.staticExports) {
    for (const { moduleRequest } of entries) if (moduleRequest) byPosition.set(moduleRequest.start, moduleRequest.value);
  }
  if (/\b(import|require)\s*\(/.test(text)) visitCalls(parsed.program, (position, specifier) => byPosition.set(position, specifier));
  return [...byPosition]
    .sort(([left], [right]) => left - right)
    .map(([position, specifier]) => ({ specifier, line: text.slice(0, position).split('\n').length }));
}

/**
 * Finds `import('…')`, as an expression and as a type, and `require('…')` below a node of the syntax tree.
 * @param {unknown} node
 * @param {(position: number, specifier: string) => void} visit
 */
function visitCalls(node, visit) {
  if (typeof node !== 'object' || node === null) return;
  if ('type' in node) {
    const source = specifierNode(/** @type {Record<string, any>} */ (node));
    if (source?.type === 'Literal' && typeof source.value === 'string') visit(source.start, source.value);
  }
  for (const child of Object.values(node)) visitCalls(child, visit);
}

/** @param {Record<string, any>} node */
function specifierNode(node) {
  switch (node['type']) {
    case 'ImportExpression':
    case 'TSImportType':
      return node['source'];
    case 'CallExpression':
      return node['callee'].name === 'require' ? node['arguments'][0] : undefined;
    default:
      return undefined;
  }
}
