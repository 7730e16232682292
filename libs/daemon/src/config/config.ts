import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { assert, errorMessage, OperationError } from '@rmr/runtime';
import { type Document, LineCounter, parseDocument, parse as parseYaml } from 'yaml';
import { z } from 'zod';
import type { ConfigKey, KeyKind } from './config-key.ts';
import { type JsonSchema, suggestKey, suggestVariable } from './config-suggestions.ts';
import { ipv6Hint, keyText, quote } from './config-values.ts';

/** The largest configuration file. A larger one is a mistake, such as the path of a store. */
const FILE_BYTES_MAX = 1024 * 1024;
/** Variables with this prefix belong to this project. One that is unknown is an error. */
export const ENV_PREFIX = 'RMR_';
/** Variables that tools of this project read. Daemons ignore them. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set(['RMR_CONFIG', 'RMR_CLUSTER_FILE']);

/** The sources of a configuration, the weakest first. */
export interface ConfigSources {
  /** A YAML or JSON file. */
  readonly filePath?: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Text by {@link ConfigKey.key}. */
  readonly flags: ReadonlyMap<string, string>;
}

type Tree = { [key: string]: unknown };

/** The keys of a configuration schema, in the schema's order. Keys inside of objects are among them; keys inside of lists are not. */
export function configKeys(schema: z.ZodType): readonly ConfigKey[] {
  const keys: ConfigKey[] = [];
  collectKeys(jsonSchemaOf(schema), [], keys);
  assert(new Set(keys.map((key) => key.variable)).size === keys.length, 'configuration: two keys have the same variable');
  return keys;
}

function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
}

/**
 * Reads a configuration. Environment variables override the file, and flags override both. Throws INVALID_CONFIG with every problem on a
 * line of its own. Each line names the key, and the source of its value.
 */
export function loadConfig<Schema extends z.ZodType>(schema: Schema, sources: ConfigSources): z.output<Schema> {
  const keys = configKeys(schema);
  const jsonSchema = jsonSchemaOf(schema);
  const file = sources.filePath === undefined ? null : readConfigFile(sources.filePath);
  const tree: Tree = file === null ? {} : file.tree;
  const problems: string[] = [];
  const overrides = new Map<string, string>();

  for (const variable of unknownVariables(sources.environment, keys, jsonSchema)) problems.push(variable);
  for (const key of keys) {
    const fromEnvironment = sources.environment[key.variable];
    // An empty variable counts as not set: shells and unit files have no other way to say so.
    if (fromEnvironment !== undefined && fromEnvironment !== '') {
      override(tree, key, fromEnvironment, `${key.variable} in the environment`, overrides, problems);
    }
    const fromFlag = sources.flags.get(key.key);
    if (fromFlag !== undefined) override(tree, key, fromFlag, `--${key.flag}`, overrides, problems);
  }

  const result = schema.safeParse(tree, { reportInput: true });
  if (!result.success) {
    for (const issue of result.error.issues) problems.push(describeIssue(issue, keys, jsonSchema, overrides, file));
  }
  if (problems.length > 0 || !result.success) {
    const heading = file === null ? 'the configuration is not usable:' : `the configuration ${file.path} is not usable:`;
    throw new OperationError('INVALID_CONFIG', [heading, ...problems.map((problem) => `  ${problem}`)].join('\n'));
  }
  return result.data;
}

function collectKeys(schema: JsonSchema, path: readonly string[], keys: ConfigKey[]): void {
  if (schema.properties !== undefined) {
    for (const [name, property] of Object.entries(schema.properties)) collectKeys(property, [...path, name], keys);
    return;
  }
  const words = path
    .join('.')
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1.$2')
    .toLowerCase()
    .split('.');
  keys.push({
    key: path.join('.'),
    path,
    variable: ENV_PREFIX + words.join('_').toUpperCase(),
    flag: words.join('-'),
    kind: kindOf(schema),
    description: schema.description ?? '',
  });
}

function kindOf(schema: JsonSchema): KeyKind {
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  if (types.includes('string')) return 'text';
  if (types.includes('boolean')) return 'boolean';
  if (types.includes('number') || types.includes('integer')) return 'number';
  if (types.includes('array') && schema.items !== undefined && kindOf(schema.items) === 'text') return 'list';
  return 'structure';
}

interface ConfigFile {
  readonly path: string;
  readonly tree: Tree;
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
}

function readConfigFile(path: string): ConfigFile {
  const lines = new LineCounter();
  const text = readSmallFile(path);
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const broken = document.errors[0];
  if (broken !== undefined) {
    const { line, col } = lines.linePos(broken.pos[0]);
    const remedy = ipv6Hint(text.split('\n')[line - 1] ?? '') ?? 'correct the YAML or JSON there';
    throw new OperationError('INVALID_CONFIG', `${path} line ${line}, column ${col}: ${broken.message}; ${remedy}`);
  }
  let tree: unknown;
  try {
    tree = document.toJS() ?? {};
  } catch (error) {
    throw new OperationError('INVALID_CONFIG', `${path}: ${errorMessage(error)}`, { cause: error });
  }
  if (!isTree(tree)) {
    throw new OperationError('INVALID_CONFIG', `${path} does not hold a configuration; write keys and values, such as "name: node-1"`);
  }
  return { path, tree, document, lines };
}

function readSmallFile(path: string): string {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    throw new OperationError('INVALID_CONFIG', `cannot read the configuration ${path}: ${errorMessage(error)}`, { cause: error });
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile() || stat.size > FILE_BYTES_MAX) {
      throw new OperationError(
        'INVALID_CONFIG',
        `${path} is no configuration file: it has to be a regular file of at most ${FILE_BYTES_MAX} bytes`,
      );
    }
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

function override(tree: Tree, key: ConfigKey, text: string, source: string, overrides: Map<string, string>, problems: string[]): void {
  const value = valueOfText(key, text);
  if (value === undefined) {
    const hint = key.kind === 'structure' ? ipv6Hint(text) : null;
    problems.push(`${key.key} (${source}): ${quote(text)} ${TEXT_HINTS[key.kind]}${hint === null ? '' : `; ${hint}`}`);
    return;
  }
  let at = tree;
  for (const name of key.path.slice(0, -1)) {
    if (!isTree(at[name])) at[name] = {};
    at = at[name] as Tree;
  }
  at[key.path.at(-1) as string] = value;
  overrides.set(key.key, source);
}

const TEXT_HINTS: Readonly<Record<KeyKind, string>> = {
  text: 'is not text',
  number: 'is not a number; write digits',
  boolean: 'is neither true nor false',
  list: 'is not a list; write its entries with commas between',
  structure: 'is neither JSON nor YAML',
};

/** The value that `text` stands for, or undefined. */
function valueOfText(key: ConfigKey, text: string): unknown {
  switch (key.kind) {
    case 'text':
      return text;
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : undefined;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'list':
      return text.split(',').map((entry) => entry.trim());
    case 'structure':
      try {
        return parseYaml(text) as unknown;
      } catch {
        return undefined;
      }
  }
}

function unknownVariables(environment: ConfigSources['environment'], keys: readonly ConfigKey[], jsonSchema: JsonSchema): string[] {
  const known = keys.map((key) => key.variable);
  const problems: string[] = [];
  for (const variable of Object.keys(environment).sort()) {
    if (!variable.startsWith(ENV_PREFIX) || environment[variable] === undefined) continue;
    if (known.includes(variable) || OTHER_VARIABLES.has(variable)) continue;
    problems.push(
      `${variable} in the environment is no key of this configuration; ${suggestVariable(variable, ENV_PREFIX, keys, jsonSchema)}`,
    );
  }
  return problems;
}

function describeIssue(
  issue: z.core.$ZodIssue,
  keys: readonly ConfigKey[],
  jsonSchema: JsonSchema,
  overrides: ReadonlyMap<string, string>,
  file: ConfigFile | null,
): string {
  const key = keyText(issue.path);
  const missing = issue.code === 'invalid_type' && issue.input === undefined;
  if (missing) {
    const inList = issue.path.some((part) => typeof part === 'number');
    const known = keys.find((candidate) => candidate.key === key);
    const ways = inList || known === undefined ? '' : `, or as ${known.variable} or --${known.flag}`;
    const where = sourceOf(issue.path.slice(0, -1), overrides, file);
    return inList
      ? `${key} (${where ?? 'the configuration'}): is missing; write it`
      : `${key}: is missing; write it in ${file?.path ?? 'a configuration file'}${ways}`;
  }
  const where = sourceOf(issue.path, overrides, file);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys
      .map((name) => {
        const own = sourceOf([...issue.path, name], overrides, file);
        const suggestion = suggestKey(name, issue.path, jsonSchema);
        return `${keyText([...issue.path, name])}${own === null ? '' : ` (${own})`}: is no key of this configuration; ${suggestion}`;
      })
      .join('\n  ');
  }
  return `${key === '' ? 'configuration' : key}${where === null ? '' : ` (${where})`}: ${describeMessage(issue)}`;
}

function describeMessage(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      // A message that is not zod's own comes from our schema, which says best what to write.
      if (!issue.message.startsWith('Invalid input')) return issue.message;
      return `${quote(issue.input)} is of the wrong type; write ${TYPE_WORDS[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `${quote(issue.input)} is not known; write one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return issue.message.startsWith('Too small') ? `${quote(issue.input)} is too small; write at least ${issue.minimum}` : issue.message;
    case 'too_big':
      return issue.message.startsWith('Too big') ? `${quote(issue.input)} is too large; write at most ${issue.maximum}` : issue.message;
    default:
      return issue.message;
  }
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'keys and values',
};

/** The source of the value at `path`: the override that covers it, or else its line in the file. */
function sourceOf(path: readonly PropertyKey[], overrides: ReadonlyMap<string, string>, file: ConfigFile | null): string | null {
  for (let length = path.length; length > 0; length--) {
    const source = overrides.get(path.slice(0, length).join('.'));
    if (source !== undefined) return source;
  }
  if (file === null) return null;
  for (let length = path.length; length > 0; length--) {
    const node = file.document.getIn(path.slice(0, length), true) as { range?: readonly [number, number, number] } | undefined;
    if (node?.range !== undefined) return `${file.path} line ${file.lines.linePos(node.range[0]).line}`;
  }
  return file.path;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
