import { COMMAND_COUNT } from '../wire/protocol.ts';

/** What was asked and answered, per command (index: the command's number). Integers that only grow. */
export class NbdCounters {
  /** Requests that were answered, errors included. */
  readonly operations = new Float64Array(COMMAND_COUNT);
  /** Sum of the lengths of those that succeeded. */
  readonly bytes = new Float64Array(COMMAND_COUNT);
  /** Requests that were answered with an error. */
  readonly errors = new Float64Array(COMMAND_COUNT);

  /** One request was answered. Commands that do not exist are not counted here. */
  count(command: number, lengthBytes: number, failed: boolean): void {
    if (command >= COMMAND_COUNT) return;
    (this.operations[command] as number)++;
    if (failed) (this.errors[command] as number)++;
    else (this.bytes[command] as number) += lengthBytes;
  }
}
