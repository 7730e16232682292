/** What a command sees of the world: its streams, the terminal, the environment, the clock. Tests hand in others. */
import { homedir } from 'node:os';

export interface Surroundings {
  /** Results. */
  readonly stdout: NodeJS.WritableStream;
  /** Progress, questions and errors. */
  readonly stderr: NodeJS.WritableStream;
  readonly stdin: NodeJS.ReadableStream;
  /** Whether each is a terminal. */
  readonly isTerminal: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean };
  /** Columns of the terminal. */
  readonly columns: number;
  /** Lines of the terminal. */
  readonly rows: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly folder: string;
  readonly home: string;
  /** The wall clock, in milliseconds. */
  now(): number;
  setExitCode(code: number): void;
  /** Calls `interrupt` at Ctrl-C. The answer takes it back. */
  onInterrupt(interrupt: () => void): () => void;
}

const COLUMNS_DEFAULT = 100;
const ROWS_DEFAULT = 24;

/** The process itself. */
export function processSurroundings(): Surroundings {
  const { stdin, stdout, stderr, env } = process;
  return {
    ...{ stdin, stdout, stderr, env, folder: process.cwd(), home: homedir() },
    isTerminal: { stdin: stdin.isTTY === true, stdout: stdout.isTTY === true, stderr: stderr.isTTY === true },
    // A terminal that does not know its size, as a serial console, says 0.
    columns: stdout.columns || stderr.columns || COLUMNS_DEFAULT,
    rows: stdout.rows || stderr.rows || ROWS_DEFAULT,
    now: Date.now,
    setExitCode: (code) => {
      process.exitCode = code;
    },
    onInterrupt: (interrupt) => {
      process.once('SIGINT', interrupt);
      return () => process.off('SIGINT', interrupt);
    },
  };
}
