import { execFile } from 'node:child_process';
import { parseSmart, type SmartReport } from '../../core/disks/smart-report.ts';

/** Asks a disk through `smartctl`, if that is installed. */
export class Smartctl {
  readonly #program: string;
  /** Devices that are being asked: one that hangs is not asked a second time. */
  readonly #asking = new Set<string>();

  /** `program`: its name or path. */
  constructor(program = 'smartctl') {
    this.#program = program;
  }

  /**
   * What the disk says of itself. Null: not known, because there is no smartctl, the disk has no SMART, this process has no right to ask, or it takes too long.
   * That is never an error. Smartctl runs in a process of its own: where it hangs, nothing else does.
   */
  ask(device: string): Promise<SmartReport | null> {
    if (this.#asking.has(device)) return Promise.resolve(null);
    this.#asking.add(device);
    return new Promise((resolve) => {
      // A process that waits for a disk can't be killed, so its end is not waited for.
      const timer = setTimeout(() => resolve(null), TIMEOUT_MS);
      const options = { timeout: TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: OUTPUT_BYTES_MAX, encoding: 'utf8' } as const;
      // Its exit code is a mask of what is wrong with the disk: what it has printed counts in any case.
      execFile(this.#program, ['--json', '--all', '--nocheck=standby', device], options, (_error, output) => {
        this.#asking.delete(device);
        clearTimeout(timer);
        resolve(parseSmart(output));
      });
    });
  }
}

/** A disk that sleeps is not woken, and a disk that is busy answers within seconds. */
const TIMEOUT_MS = 10_000;
/** What smartctl prints of a disk has some ten KiB. */
const OUTPUT_BYTES_MAX = 1024 * 1024;
