/**
 * Of V8, for a process that plans once: half of a first plan's processor time was the compiler's. Functions are optimised later, long ones later still, so that
 * fewer of them are, and fewer of those have to be compiled again for what they meet next.
 */
export const PLANS_ONCE: readonly string[] = ['--interrupt-budget=300000', '--bytecode-size-allowance-per-tick=60'];
