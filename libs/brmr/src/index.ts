export { PoolDevice, type PoolDeviceOptions } from './core/client/pool-device.ts';
