// Suites for vitest. Apart from index.ts, so that the simulator runs without a test runner.
export { type DiskUnderTest, diskCompliance } from './disk-compliance.ts';
export { type ComplianceSubject, transportCompliance } from './transport-compliance.ts';
