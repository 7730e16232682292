/** Text that is painted again in place. */
import { createLogUpdate } from 'log-update';
import type { Surroundings } from './surroundings.ts';
import { countText } from './words.ts';

export interface Repaint {
  /** Replaces what was painted before. What does not fit the terminal is cut at its end: the first lines matter most. */
  paint(text: string): void;
  /** Leaves what was painted last where it is. */
  done(): void;
}

export function repaintOn({ columns, rows, ...world }: Surroundings, stream: 'stdout' | 'stderr'): Repaint {
  const target = world[stream];
  // The size is handed over, as a terminal may say that it has no lines: then nothing at all would be painted.
  const terminal = { isTTY: true, columns, rows, write: (text: string) => target.write(text) };
  const update = createLogUpdate(terminal as unknown as NodeJS.WriteStream);
  return {
    paint: (text) => {
      const lines = text.split('\n');
      // The last line belongs to the cursor, and one says how much is hidden.
      const room = Math.max(1, rows - 2);
      update(lines.length <= room + 1 ? text : [...lines.slice(0, room), countText(lines.length - room, 'more line')].join('\n'));
    },
    done: () => update.done(),
  };
}
