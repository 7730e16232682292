import type { ForceMember, ForcePlan } from '@rmr/admin-api';
import { formatSize } from '@rmr/runtime';

/** The width of the text in columns: wide enough for a plan, and narrow enough for every terminal. */
const COLUMNS = 80;
const INDENT = '  ';
const HEADING = ['MEMBER', 'NAME', 'VERSION', 'LAST HEARD', 'MISSES'] as const;

/** The word for "no member at all" in `--yes-lose`. */
export const NOBODY = 'none';

/** The text of a plan, for people. `goOn` is the command that carries the plan out; null: the plan can't be carried out. */
export function planText(poolName: string, plan: ForcePlan, goOn: string | null): string {
  const { members, leftBehind, sentence } = plan;
  const all = [...members, ...leftBehind];
  const widths = HEADING.map((heading, column) =>
    Math.max(heading.length, ...all.map((member) => (cells(member)[column] as string).length)),
  );
  const blocks = [
    `Pool ${poolName} could be served by ${members.length} of its ${all.length} members.`,
    ...(members.length === 0 ? [] : [`It would be served by:\n${table(members, widths)}`]),
    leftBehind.length === 0 ? 'It would leave nobody behind.' : `It would leave behind:\n${table(leftBehind, widths)}`,
    ...(sentence === '' ? [] : [`What would be lost:\n${wrap(sentence, INDENT)}`]),
    ...(goOn === null ? [] : [`Nothing has been changed. To go on, type:\n${INDENT}${goOn}`]),
  ];
  return blocks.join('\n\n');
}

function table(members: readonly ForceMember[], widths: readonly number[]): string {
  const line = (row: readonly string[]): string =>
    `${INDENT}${row.map((text, column) => text.padEnd(widths[column] as number)).join('  ')}`.trimEnd();
  const noteIndent = INDENT.padEnd(INDENT.length + (widths[0] as number) + 2);
  return [
    line(HEADING),
    ...members.flatMap((member) => [line(cells(member)), ...(member.note === '' ? [] : [wrap(member.note, noteIndent)])]),
  ].join('\n');
}

function cells({ memberId, name, version, at, missingBytes }: ForceMember): readonly string[] {
  // The time to the second, with a space in place of the `T` that programs expect between date and time.
  const heard = at === null ? '-' : `${at.slice(0, 19).replace('T', ' ')}Z`;
  return [String(memberId), name, version ?? '-', heard, missingBytes === null ? '-' : formatSize(missingBytes)];
}

/** Breaks the text into lines of at most {@link COLUMNS}. A word that is longer than a line stays whole. */
function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && indent.length + line.length + 1 + word.length > COLUMNS) {
      lines.push(indent + line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(indent + line);
  return lines.join('\n');
}

/** The members in words, with number and name: `member 2 (storage-2), member 3 (storage-3)`. */
export function memberList(members: readonly ForceMember[]): string {
  return members.map(({ memberId, name }) => `member ${memberId} (${name})`).join(', ');
}

/** The value of `--yes-lose` for a plan. It has the name of each member that is left behind, or its id where the name is ambiguous. */
export function leftBehindWords({ leftBehind }: ForcePlan): string {
  if (leftBehind.length === 0) return NOBODY;
  const tells = ({ name }: ForceMember): boolean =>
    name !== NOBODY && !/^\d+$/.test(name) && leftBehind.filter((member) => member.name === name).length === 1;
  return leftBehind.map((member) => (tells(member) ? member.name : String(member.memberId))).join(',');
}

/** The ids of the members that `--yes-lose` names. Null unless these are exactly the members that the plan leaves behind. */
export function saidToBeLost(words: string, { leftBehind }: ForcePlan): readonly number[] | null {
  const left = new Set(leftBehind.map((member) => member.memberId));
  const named = new Set<number>();
  for (const word of words.split(',').map((each) => each.trim())) {
    const byId = /^\d{1,3}$/.test(word) ? leftBehind.filter((member) => member.memberId === Number(word)) : [];
    const found = byId.length > 0 ? byId : leftBehind.filter((member) => member.name === word);
    if (found.length === 0 && !(word === NOBODY && left.size === 0)) return null;
    for (const { memberId } of found) named.add(memberId);
  }
  return named.size === left.size ? [...named].sort((a, b) => a - b) : null;
}
