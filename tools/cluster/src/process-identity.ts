import { readFileSync } from 'node:fs';
import { z } from 'zod';

/**
 * A process beyond doubt. A pid alone is used again, after a reboot or just by time; a process that has the pid, the
 * start time and the boot is the one that was meant.
 */
export const processIdentitySchema = z.object({
  pid: z.int().positive(),
  /** Field 22 of /proc/PID/stat: clock ticks from boot to the start of the process. */
  startTicks: z.number(),
  bootId: z.string(),
});

export type ProcessIdentity = z.infer<typeof processIdentitySchema>;

type ProcessState = 'running' | 'paused' | 'gone';

let bootIdRead: string | null = null;

/** Identifies a process that exists now; null when there is none with this pid. */
export function identifyProcess(pid: number): ProcessIdentity | null {
  const stat = readStat(pid);
  return stat === null ? null : { pid, startTicks: stat.startTicks, bootId: bootId() };
}

/** What has become of a process. A zombie is gone: it executes nothing any more. */
export function processState(identity: ProcessIdentity | null): ProcessState {
  if (identity === null || identity.bootId !== bootId()) return 'gone';
  const stat = readStat(identity.pid);
  if (stat === null || stat.startTicks !== identity.startTicks || 'ZXx'.includes(stat.state)) return 'gone';
  return stat.state === 'T' ? 'paused' : 'running';
}

/** Sends a signal to this very process. False when it is gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (processState(identity) === 'gone') return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

function bootId(): string {
  bootIdRead ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return bootIdRead;
}

function readStat(pid: number): { readonly state: string; readonly startTicks: number } | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  // The second field is the program's name in brackets and may hold anything, brackets and spaces too.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] as string, startTicks: Number(fields[19]) };
}
