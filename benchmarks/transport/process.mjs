// What the processes of round.mjs share: options as JSON in the first argument, reports as JSON lines.

export function readOptions() {
  return JSON.parse(process.argv[2]);
}

export function report(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Rounds that fill memory and caches and let V8 compile, not measured. */
export const WARM_UP_ROUNDS = 10;

let cpuBefore;

/** To be called after each round (counted from 1): notes the processor time when the warm-up is over. */
export function roundEnded(round) {
  if (round === WARM_UP_ROUNDS) cpuBefore = process.cpuUsage();
}

/** Processor milliseconds a round since the warm-up. */
export function cpuMsPerRound(rounds) {
  const { user, system } = process.cpuUsage(cpuBefore);
  return (user + system) / 1000 / (rounds - WARM_UP_ROUNDS);
}

export function header(kind, fragment) {
  return { run: 'bench', kind, stage: 0, fragment, task: 0, round: 0, baseVersion: 0, samples: 1, codec: 0, name: '' };
}
