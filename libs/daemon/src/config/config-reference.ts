import { formatSize } from '@rmr/runtime';
import { z } from 'zod';
import { durationText } from './config-values.ts';

/** The reference of all keys of a configuration, those inside of lists included, as a Markdown table. */
export function configReference(schema: z.ZodType): string {
  const rows: KeyRow[] = [];
  collect(unwrap(schema).schema, '', rows);
  const lines = rows.map(({ key, value, otherwise, description }) => `| \`${key}\` | ${value} | ${otherwise} | ${description} |`);
  return ['| key | value | default | what it is |', '| --- | --- | --- | --- |', ...lines].join('\n');
}

/** One key, as the reference shows it. */
interface KeyRow {
  /** `pools[].members[].name`. */
  readonly key: string;
  /** The values that may be written. */
  readonly value: string;
  /** The default, in backquotes or in words. */
  readonly otherwise: string;
  readonly description: string;
}

/** A schema without its wrappers (default, optional and so on), and the facts that the wrappers add. */
interface Unwrapped {
  readonly schema: z.core.$ZodType;
  readonly description: string;
  /** The values that may be written, if the schema says so in words. */
  readonly value: string | null;
  readonly hasDefault: boolean;
  readonly defaultValue: unknown;
  readonly optional: boolean;
  readonly nullable: boolean;
}

function collect(schema: z.core.$ZodType, prefix: string, rows: KeyRow[]): void {
  if (!(schema instanceof z.ZodObject)) return;
  for (const [name, property] of Object.entries(schema.shape as Record<string, z.core.$ZodType>)) {
    const key = prefix === '' ? name : `${prefix}.${name}`;
    const unwrapped = unwrap(property);
    const inner = unwrapped.schema;
    const element = inner instanceof z.ZodArray ? unwrap(inner.element) : null;
    if (inner instanceof z.ZodObject) {
      // A level gets no row of its own, unless it may be left out as a whole: its keys tell everything.
      if (unwrapped.optional) rows.push(rowOf(key, unwrapped));
      collect(inner, key, rows);
    } else {
      rows.push(rowOf(key, unwrapped));
      if (element?.schema instanceof z.ZodObject) collect(element.schema, `${key}[]`, rows);
    }
  }
}

function rowOf(key: string, unwrapped: Unwrapped): KeyRow {
  return { key, value: valueText(unwrapped), otherwise: defaultText(unwrapped), description: unwrapped.description.replaceAll('|', '\\|') };
}

function unwrap(schema: z.core.$ZodType): Unwrapped {
  let [description, value]: [string, string | null] = ['', null];
  let [hasDefault, defaultValue, optional, nullable]: [boolean, unknown, boolean, boolean] = [false, undefined, false, false];
  for (let at = schema; ; ) {
    const meta = z.globalRegistry.get(at as z.ZodType);
    if (description === '') description = meta?.description ?? '';
    if (value === null && typeof meta?.['value'] === 'string') value = meta['value'];
    if (at instanceof z.ZodDefault || at instanceof z.ZodPrefault) {
      hasDefault = true;
      defaultValue = at.def.defaultValue;
    } else if (at instanceof z.ZodOptional) optional = true;
    else if (at instanceof z.ZodNullable) nullable = true;
    else if (!(at instanceof z.ZodPipe)) return { schema: at, description, value, hasDefault, defaultValue, optional, nullable };
    at = at instanceof z.ZodPipe ? at.in : (at as z.ZodOptional).unwrap();
  }
}

function valueText({ schema, value, nullable }: Unwrapped): string {
  const text = value ?? typeText(schema);
  return nullable ? `${text}; or \`null\`` : text;
}

function typeText(schema: z.core.$ZodType): string {
  if (schema instanceof z.ZodEnum) return schema.options.map((option) => `\`${option}\``).join(', ');
  if (schema instanceof z.ZodBoolean) return '`true`, `false`';
  if (schema instanceof z.ZodNumber) {
    const { minValue, maxValue } = schema;
    const kind = schema.isInt ? 'whole number' : 'number';
    const least = minValue === null || !Number.isSafeInteger(minValue) ? null : minValue;
    const most = maxValue === null || !Number.isSafeInteger(maxValue) || maxValue === Number.MAX_SAFE_INTEGER ? null : maxValue;
    if (least !== null && most !== null) return `${kind}, ${least} to ${most}`;
    return least === null ? kind : `${kind}, at least ${least}`;
  }
  if (schema instanceof z.ZodArray) {
    const { schema: element, value } = unwrap(schema.element);
    return element instanceof z.ZodObject ? 'list of keys and values' : `list: ${value ?? typeText(element)}`;
  }
  return schema instanceof z.ZodObject ? 'keys and values' : 'text';
}

function defaultText({ hasDefault, defaultValue, optional, value }: Unwrapped): string {
  if (!hasDefault) return optional ? 'none' : '**has to be given**';
  if (typeof defaultValue === 'number' && value?.startsWith('duration') === true) return `\`${durationText(defaultValue)}\``;
  if (typeof defaultValue === 'number' && value?.startsWith('size') === true) return `\`${formatSize(defaultValue).replace(' ', '')}\``;
  if (Array.isArray(defaultValue)) return defaultValue.length === 0 ? 'none' : defaultValue.map((each) => `\`${each}\``).join(', ');
  return typeof defaultValue === 'object' && defaultValue !== null ? 'none' : `\`${String(defaultValue)}\``;
}
