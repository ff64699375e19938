// Preloaded into processes of the tests: where whoever forked one is gone, as one that a time-out killed, nobody else would end it.
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
