/** Both ends of a session must speak the same. Raised by every change of protos/ that an older peer would misread. */
export const PROTOCOL_VERSION = 9;
