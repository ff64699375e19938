/** Both ends of a session must speak the same. Raised by every change of protos/, or of what workers of a group send each other, that an older peer would misread. */
export const PROTOCOL_VERSION = 11;
