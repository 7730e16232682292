import { readFileSync } from 'node:fs';

/** Clock ticks per second in /proc/PID/stat: USER_HZ, which is 100 on every Linux architecture that Node.js runs on. */
const TICKS_PER_SECOND = 100;

/** Resident memory of a process, in bytes. */
export interface MemoryUse {
  readonly residentBytes: number;
  readonly residentBytesMax: number;
}

/** CPU seconds (user and system, all threads) in the text of /proc/PID/stat. Throws when it is something else. */
export function parseCpuSeconds(stat: string): number {
  // The command name is in parentheses and may itself hold spaces and parentheses: fields are counted after the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  if (!Number.isInteger(ticks)) throw new Error('this is not the text of /proc/PID/stat');
  return ticks / TICKS_PER_SECOND;
}

/** VmRSS and VmHWM in the text of /proc/PID/status. Throws when they are missing (a zombie has none). */
export function parseMemoryUse(status: string): MemoryUse {
  return { residentBytes: kibibyteField(status, 'VmRSS'), residentBytesMax: kibibyteField(status, 'VmHWM') };
}

function kibibyteField(status: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status);
  if (match === null) throw new Error(`no ${name} in /proc/PID/status`);
  return Number(match[1]) * 1024;
}

/** CPU seconds that the process has used since it started. Throws when it is gone. */
export function cpuSeconds(pid: number): number {
  return parseCpuSeconds(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

/** Memory of a running process. Throws when it is gone. */
export function memoryUse(pid: number): MemoryUse {
  return parseMemoryUse(readFileSync(`/proc/${pid}/status`, 'utf8'));
}

/** Whether a process with this id exists and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return false;
  }
}
