/**
 * Of V8, for a process that simulates many nodes: what they make, and soon drop, is collected at the least cost in a young generation of 64 MiB,
 * from the start on, as it grows too late by itself; and by the thread that made it, as others would take a tenth more of processors that
 * other arms have work for, and save no time.
 */
export const ROOM_FOR_THE_YOUNG = ['--max-semi-space-size=64', '--min-semi-space-size=64', '--single-threaded-gc'];
