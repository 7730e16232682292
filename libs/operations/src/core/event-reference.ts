// The tables of docs/events.md, from the list of the kinds.
import { EVENT_KINDS, EVENT_SUBJECTS, type EventKindSpec } from './event-kinds.ts';

/** All kinds as Markdown, a table for each thing that events are about. */
export function eventReference(): string {
  const kinds: readonly (readonly [string, EventKindSpec])[] = Object.entries(EVENT_KINDS);
  return Object.entries(EVENT_SUBJECTS)
    .map(([about, target]) => {
      const rows = kinds.filter(([, spec]) => spec.about === about).map(([kind, spec]) => rowOf(kind, spec));
      const title = `## About ${about === 'order' ? 'an order or request' : about === 'node' ? 'the node' : `${/^[aeiou]/.test(about) ? 'an' : 'a'} ${about}`}`;
      return [title, '', `\`target\`: ${target}.`, '', '| kind | severity | sentence |', '| --- | --- | --- |', ...rows].join('\n');
    })
    .join('\n\n');
}

function rowOf(kind: string, { severity, sentence, durableFirst, summed }: EventKindSpec): string {
  const marks = `${durableFirst === true ? ' ¹' : ''}${summed === true ? ' ²' : ''}`;
  const text = typeof severity === 'string' ? severity : byField(severity);
  return `| \`${kind}\`${marks} | ${text} | ${sentence.replaceAll(/\{(\w+)\}/g, '*$1*')} |`;
}

function byField({ values, otherwise }: Exclude<EventKindSpec['severity'], string>): string {
  const parts = Object.entries(values).map(([value, severity]) => `${value}: ${severity}`);
  return `${parts.join(', ')}; else ${otherwise}`;
}
