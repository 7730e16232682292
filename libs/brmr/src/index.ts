export { PoolDevice, type PoolDeviceOptions } from './core/client/pool-device.ts';
export { PoolStoreAdapter } from './core/server/pool-store-adapter.ts';
