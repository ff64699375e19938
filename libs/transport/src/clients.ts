/** What whoever asks a server needs: no tensors, and so no ZeroMQ. */
export type { ClientCredentials } from './access.js';
export { formatAddress, parseAddress, type Address } from './address.js';
export { connectClient, type ControlClient } from './client.js';
export { enrol, receiveAuthority, renew, type Enrolment } from './enrol.js';
export { giveLocalOrder, type LocalOrder, type LocalWorker } from './local-control.js';
export { wallClock } from './wall-clock.js';
