import type { ConfigKey } from './config-key.ts';

/** The parts of a configuration's JSON schema that are used here. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}

/** A key of any level, those inside of lists included. */
interface Place {
  readonly name: string;
  /** The keys above it, `[]` for the entries of a list. */
  readonly level: readonly string[];
}

const ENTRY = '[]';

/** Advice on the unknown key `name` at `path`: the key that was probably meant. Following it loses nothing that was written. */
export function suggestKey(name: string, path: readonly PropertyKey[], schema: JsonSchema): string {
  const level = path.map((part) => (typeof part === 'number' ? ENTRY : String(part)));
  const places = placesOf(schema, []);
  const here = places.filter((place) => levelText(place.level) === levelText(level)).map((place) => place.name);
  // People write "rtrs.listen: …" on one line, which is not how YAML spells levels. The last word counts.
  const word = name.slice(name.lastIndexOf('.') + 1);
  const known = nearest(word, here);
  const anywhere = nearest(
    word,
    places.map((place) => place.name),
  );
  if (known !== null && (anywhere === null || distanceOf(word, known) <= distanceOf(word, anywhere))) return `did you mean ${known}?`;
  if (anywhere !== null) {
    const levels = [...new Set(places.filter((place) => place.name === anywhere).map((place) => levelText(place.level)))];
    const where = `belongs to ${levels.join(' or ')}: move it there`;
    return anywhere === name ? `${name} ${where}` : `did you mean ${anywhere}? It ${where}`;
  }
  return here.length > 0 ? `known here: ${here.join(', ')}` : 'nothing is known here; correct the level that it is at';
}

/** Advice on an unknown variable: the variable that was probably meant. */
export function suggestVariable(variable: string, prefix: string, keys: readonly ConfigKey[], schema: JsonSchema): string {
  const word = variable.slice(prefix.length);
  const variables = keys.map((key) => key.variable.slice(prefix.length));
  const places = placesOf(schema, []);
  const names = places.map((place) => place.name);
  const known = nearest(word, variables);
  const name = nearest(word, names);
  if (known !== null && (name === null || distanceOf(word, known) <= distanceOf(word, name))) return `did you mean ${prefix}${known}?`;
  if (name === null) return 'no key resembles it; see --help for those that exist, or unset it';
  const ways = places.filter((place) => place.name === name).map((place) => wayOf(place, keys));
  return `did you mean ${[...new Set(ways)].join(' or ')}?`;
}

/** The variable that carries a key: the key's own, or for a key inside of a list, the variable of the list. */
function wayOf({ name, level }: Place, keys: readonly ConfigKey[]): string {
  const path = [...level, name];
  const key = keys.find((each) => each.path.every((part, depth) => path[depth] === part));
  if (key === undefined) return `${name} of ${levelText(level)}`;
  return key.path.length === path.length ? key.variable : `${name} of ${levelText(level)} in ${key.variable}`;
}

/** The known word that `word` resembles most. Case, dashes and underscores do not count. Null: it resembles none. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const distance = distanceOf(word, candidate);
    if (distance >= bestDistance || distance > toleranceFor(word, candidate)) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}

/** How many edits still count as a slip in writing. With more, it is another word. */
function toleranceFor(a: string, b: string): number {
  const length = Math.min(plain(a).length, plain(b).length);
  return length <= 3 ? 1 : length <= 8 ? 2 : 3;
}

function distanceOf(a: string, b: string): number {
  const [left, right] = [plain(a), plain(b)];
  const distance = editDistance(left, right);
  // A part of a name, such as "uuid" for "poolUuid", is nearer than a word with other letters.
  const [short, long] = left.length < right.length ? [left, right] : [right, left];
  return short.length >= 4 && long.includes(short) ? Math.min(distance, 2) : distance;
}

function plain(word: string): string {
  return word.toLowerCase().replaceAll(/[-_]/g, '');
}

/** The number of insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = (previous[column - 1] as number) + (a[row - 1] === b[column - 1] ? 0 : 1);
      let edits = Math.min(substitution, (previous[column] as number) + 1, (current[column - 1] as number) + 1);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        edits = Math.min(edits, (beforePrevious[column - 2] as number) + 1);
      }
      current.push(edits);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] as number;
}

function placesOf(schema: JsonSchema, level: readonly string[]): Place[] {
  const places: Place[] = [];
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    places.push({ name, level }, ...placesOf(property, [...level, name]));
  }
  if (schema.items !== undefined) places.push(...placesOf(schema.items, [...level, ENTRY]));
  for (const branch of schema.anyOf ?? []) places.push(...placesOf(branch, level));
  return places;
}

/** A level as messages name it: `pools[].members[]`. */
function levelText(level: readonly string[]): string {
  let text = '';
  for (const part of level) text += part === ENTRY ? part : text === '' ? part : `.${part}`;
  return text === '' ? 'the top level' : text;
}
