import { defineConfig } from 'vitest/config';

// A bound for tests that hang: no test depends on the speed of the machine. Times are shown in the zone of the host, so that is fixed here.
export default defineConfig({ test: { name: 'rmrctl', testTimeout: 60_000, hookTimeout: 60_000, env: { TZ: 'UTC' } } });
