/** Of V8, for a process that simulates: the thread that made what is dropped collects it, as others would take a tenth more of processors that other arms have work for, and save no time. */
const ONE_THREAD_COLLECTS = ['--single-threaded-gc'];

/**
 * The same, where arithmetic takes most of the time: what a round calls a few times is optimised late, the longer it is the later, and little is inlined. To compile
 * it took other threads longer than it saved; what is long was compiled several times, as each arm makes objects of its own.
 */
const COMPILES_LITTLE = ['--max-inlined-bytecode-size-cumulative=300', '--max-bytecode-size-for-early-opt=0', '--bytecode-size-allowance-per-tick=15'];

/**
 * The same, for a process that simulates and computes. An arm makes 38 MB of vectors, for which the whole heap would be marked, and what was compiled for objects
 * that are no more thrown away: there is room for them before that.
 */
export const ROOM_FOR_VECTORS = ['--initial-old-space-size=256', ...COMPILES_LITTLE, ...ONE_THREAD_COLLECTS];

/** From so many nodes on what a round has under way does not fit into a young generation of 64 MiB: most of it would be made old, and the whole heap be marked for it. */
const CROWD = 5000;

/**
 * The same, for a process that simulates so many nodes and computes nothing for them: what they make, and soon drop, is collected at the least cost in a young
 * generation of 64 MiB, of 256 for a crowd, from the start on, as it grows too late by itself. Arithmetic would go slower beside one that is larger than the caches.
 * Nothing is made old at once: what thousands have under way outlives a collection now and then, from which V8 concludes that it had better be, and then it keeps
 * alive what it points to, when it is dead itself, until the whole heap is marked.
 */
export function roomForTheYoung(nodes: number): readonly string[] {
  const mib = nodes < CROWD ? 64 : 256;
  return [`--max-semi-space-size=${mib}`, `--min-semi-space-size=${mib}`, '--no-allocation-site-pretenuring', ...ONE_THREAD_COLLECTS];
}
