// What the processes of round.mjs share: options as JSON in the first argument, reports as JSON lines.

export function readOptions() {
  return JSON.parse(process.argv[2]);
}

export function report(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

export function header(kind, fragment) {
  return { run: 'bench', kind, stage: 0, fragment, task: 0, round: 0, baseVersion: 0, samples: 1, codec: 0, name: '' };
}
