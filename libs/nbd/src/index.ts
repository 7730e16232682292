export { type BlockDevice, DeviceFlag, DeviceOperation } from './block-device.ts';
export { DeviceRequest, type DeviceRequestSink, NO_OFFSET } from './device-request.ts';
