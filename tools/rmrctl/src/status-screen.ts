/** The whole cluster on one screen. The first line says whether the data is safe, the second what to do. */
import type { Note, Observation, Overview } from '@rmr/cluster-view';
import { commandOf } from './action-command.ts';
import { LEVEL_MARKS, NOTE_MARKS } from './marks.ts';
import type { Painter } from './painter.ts';
import { countText, sinceText, sizeText } from './words.ts';

export function statusScreen(painter: Painter, { at }: Observation, overview: Overview): string {
  const nowMs = Date.parse(at);
  const first = overview.needed.find(({ remedy, action }) => remedy !== null || action !== null);
  return [
    painter.lines(`${painter.mark(LEVEL_MARKS[overview.level])} `, painter.name(overview.sentence)),
    ...(first === undefined ? [] : [painter.lines('  ', `What to do: ${todoOf(first)}`)]),
    ...section(painter, 'NEEDS A PERSON', overview.needed, nowMs, true),
    ...section(painter, 'MOVES BY ITSELF', overview.moving, nowMs, false),
    '',
    ...counts(painter, overview),
  ].join('\n');
}

/** How many notes of a kind are shown. More of them say no more. */
const NOTES_MAX = 20;
/** Narrower terminals get the text of a note below its name. */
const BESIDE_WIDTH = 80;

function todoOf({ remedy, action }: Note): string {
  return remedy ?? (action === null ? '' : commandOf(action));
}

function section(painter: Painter, title: string, notes: readonly Note[], nowMs: number, commands: boolean): readonly string[] {
  if (notes.length === 0) return [];
  const shown = notes.slice(0, NOTES_MAX);
  const names = Math.max(...shown.map(({ about }) => about.length));
  const lines = shown.map((note) => {
    const since = sinceText(note.since, nowMs);
    const text = [
      note.sentence,
      since === '' ? '' : `, ${since}`,
      note.action === null || !commands ? '' : `: ${commandOf(note.action)}`,
    ].join('');
    const head = `${painter.mark(NOTE_MARKS[note.mark])} ${painter.name(note.about)}`;
    if (painter.look.width < BESIDE_WIDTH) return `${head}\n${painter.lines('  ', text)}`;
    return painter.lines(`${head}${' '.repeat(names - note.about.length + 2)}`, text);
  });
  const more = notes.length - shown.length;
  return ['', title, ...lines, ...(more > 0 ? [`  and ${more} more; all of them: rmrctl status --output json`] : [])];
}

function counts(painter: Painter, { volumes, members, nodes, capacity }: Overview): readonly string[] {
  const all = Object.values(volumes).reduce((sum, count) => sum + count, 0);
  const others = (['unmapped', 'unknown'] as const).filter((state) => volumes[state] > 0).map((state) => `, ${volumes[state]} ${state}`);
  const facts = [
    `VOLUMES ${all}: ${volumes.healthy} healthy, ${volumes.degraded} degraded, ${volumes.down} down${others.join('')}`,
    `MEMBERS ${members.inSync} of ${members.all} in sync${members.unknown === 0 ? '' : `, ${members.unknown} not known`}`,
    `NODES ${nodes.answer} of ${nodes.all} answer`,
    ...(capacity === null ? [] : [`CAPACITY ${sizeText(capacity.usedBytes)} of ${sizeText(capacity.totalBytes)}`]),
  ];
  const oneLine = facts.join('   ');
  return oneLine.length <= painter.look.width ? [oneLine] : facts;
}

/** `3 copies` */
export function copiesText(count: number): string {
  return countText(count, 'copy', 'copies');
}
