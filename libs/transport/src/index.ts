export { formatAddress, parseAddress, type Address } from './address.js';
export { connectClient, type ControlClient } from './client.js';
export type { ControlService } from './control-methods.js';
export { dial, type Dialled, type DialOptions } from './dial.js';
export { listen, type Listener, type ListenOptions } from './listen.js';
export { openPeers, type PeerEndpoint, type PeerOptions } from './peers.js';
export { createTensorMemory, type TensorMemory } from './tensor-memory.js';
export { wallClock } from './wall-clock.js';
