// Preloaded into processes of the tests: where whoever forked one is gone, as one that a time-out killed, nobody else would end it.
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// Listening for that keeps a process alive; what vitest forks wants to be kept so, vitest itself is to end by itself.
if (process.env.VITEST === undefined) process.channel?.unref();
