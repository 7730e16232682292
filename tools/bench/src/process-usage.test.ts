import { expect, test } from 'vitest';
import { cpuSeconds, isAlive, memoryUse, parseCpuSeconds, parseMemoryUse } from './process-usage.ts';

test('CPU time is the sum of user and system time', () => {
  expect(parseCpuSeconds('77 (node) S 1 77 77 0 -1 4194304 9 0 0 0 250 50 0 0 20 0 11 0 100 1 1\n')).toBe(3);
});

test('a command name with spaces and parentheses does not shift the fields', () => {
  expect(parseCpuSeconds('77 (a) b (c) S 1 77 77 0 -1 4194304 9 0 0 0 100 200 0 0 20 0\n')).toBe(3);
});

test('a text that is no process status is refused', () => {
  expect(() => parseCpuSeconds('77 (node) S 1')).toThrow('/proc/PID/stat');
  expect(() => parseMemoryUse('Name:\tnode\nState:\tZ (zombie)\n')).toThrow('no VmRSS');
});

test('memory is read in bytes, now and at its peak', () => {
  expect(parseMemoryUse('VmHWM:\t  2048 kB\nVmRSS:\t    1024 kB\n')).toEqual({ residentBytes: 1_048_576, residentBytesMax: 2_097_152 });
});

test('the own process can be measured', () => {
  expect(cpuSeconds(process.pid)).toBeGreaterThan(0);
  const memory = memoryUse(process.pid);
  expect(memory.residentBytes).toBeGreaterThan(1_000_000);
  expect(memory.residentBytesMax).toBeGreaterThanOrEqual(memory.residentBytes);
  expect(isAlive(process.pid)).toBe(true);
});

test('a process that does not exist is not alive', () => {
  expect(isAlive(0x7fff_ffff)).toBe(false);
});
