/** Of V8, for a process that simulates: the thread that made what is dropped collects it, as others would take a tenth more of processors that other arms have work for, and save no time. */
export const ONE_THREAD_COLLECTS = ['--single-threaded-gc'];

/**
 * The same, for a process that simulates many nodes and computes nothing for them: what they make, and soon drop, is collected at the least cost in a young
 * generation of 64 MiB, from the start on, as it grows too late by itself. Arithmetic would go slower beside one that is larger than the caches.
 */
export const ROOM_FOR_THE_YOUNG = ['--max-semi-space-size=64', '--min-semi-space-size=64', ...ONE_THREAD_COLLECTS];
