// A worker's event loop while a step takes a second, and its memory over 2,000 steps.
//   node benchmarks/system/responsiveness.mjs [--json]
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { launch, startFleet } from './fleet.mjs';

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const MIB = 1024 ** 2;

async function measure(job, workers) {
  const fleet = await startFleet({ paces: Array(workers).fill(1), threads: 1 });
  try {
    const events = await launch(job, fleet.address);
    const stats = fleet.workers.map(({ messages }) => {
      const ready = messages.findIndex(({ type, event }) => type === 'event' && event.event === 'ready');
      return messages.slice(ready).filter(({ type }) => type === 'stats').map(({ stats }) => stats);
    });
    return { events, stats };
  } finally {
    await fleet.end();
  }
}

const slow = await measure(here('./second-step.yaml'), 2);
const steps = slow.events.filter(({ event, accepted }) => event === 'contribution' && accepted).map(({ computeMs }) => computeMs);
const blocked = Math.max(...slow.stats.flat().map(({ eventLoopMaxMs }) => eventLoopMaxMs));

const long = await measure(here('./long-run.yaml'), 2);
const commits = long.events.filter(({ event }) => event === 'commit').length;
const growth = long.stats.map((list) => {
  // The first quarter fills caches and pools.
  const settled = list.slice(Math.floor(list.length / 4)).map(({ residentBytes }) => residentBytes);
  return { firstBytes: settled[0], lastBytes: settled.at(-1), peakBytes: Math.max(...settled) };
});

const result = { benchmark: 'responsiveness', stepMs: steps, eventLoopMaxMs: blocked, commits, growth };
if (values.json) console.log(JSON.stringify(result));
else {
  console.log(`steps of ${(steps.reduce((a, b) => a + b, 0) / steps.length).toFixed(0)} ms: the event loop never waited longer than ${blocked.toFixed(1)} ms`);
  growth.forEach(({ firstBytes, lastBytes, peakBytes }, i) =>
    console.log(`worker ${i + 1}, ${commits} rounds: ${(firstBytes / MIB).toFixed(0)} MiB settled, ${(lastBytes / MIB).toFixed(0)} at the end, ${(peakBytes / MIB).toFixed(0)} at most`),
  );
}
