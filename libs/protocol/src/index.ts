export { DECODING_OPTIONS, DESCRIPTOR, messageType, PACKAGE } from './descriptor.js';
export type * from './generated/messages.js';
export { LIMITS } from './limits.js';
export { decodeLinkFrame, encodeLinkFrame } from './link-frame.js';
export { checkPayload, toTensorFrame, toTensorHeader, type Crc32c } from './tensor-header.js';
export { validateMessage } from './validate.js';
export { PROTOCOL_VERSION } from './version.js';
