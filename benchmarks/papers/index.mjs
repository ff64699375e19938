// What papers published, what Longtail gives for the same, and why they differ where they do.
//   node benchmarks/papers/index.mjs [--only bubbles|round-trips|pipedream|dtfm|halos|staleness|bytes]… [--json]
// Exits with 1 where a figure that must agree does not.
import { parseArgs } from 'node:util';
import bubbles from './bubbles.mjs';
import bytes from './bytes.mjs';
import dtfm from './dtfm.mjs';
import halos from './halos.mjs';
import pipedream from './pipedream.mjs';
import roundTrips from './round-trips.mjs';
import staleness from './staleness.mjs';

/** Each `{ name, title, run }`; a row of `run`: `{ what, source, expected, ours, within?, why? }`, `expected` a figure, a range or a text, `within` the relative difference allowed. */
const CASES = [bubbles, roundTrips, pipedream, dtfm, halos, staleness, bytes];

const { values: options } = parseArgs({ options: { only: { type: 'string', multiple: true }, json: { type: 'boolean', default: false } } });
const unknown = options.only?.filter((name) => !CASES.some((one) => one.name === name)) ?? [];
if (unknown.length > 0) throw new Error(`no case ${unknown.join(', ')}; there are ${CASES.map(({ name }) => name).join(', ')}`);

for (const { name, title, run } of CASES) {
  if (options.only?.includes(name) === false) continue;
  const rows = (await run()).map((row) => ({ case: name, ...row, agrees: agrees(row) }));
  if (rows.some(({ agrees }) => agrees === false)) process.exitCode = 1;
  if (options.json) rows.forEach((row) => console.log(JSON.stringify(row)));
  else print(title, rows);
}

/** Undefined: the paper's is another measure or machine, and `why` says so. */
function agrees({ expected, ours, within }) {
  if (expected === ours) return true;
  if (Array.isArray(expected)) return ours >= expected[0] && ours <= expected[1];
  return within === undefined ? undefined : Math.abs(ours / expected - 1) <= within || Math.abs(ours - expected) <= within;
}

function print(title, rows) {
  console.log(`\n${title}`);
  const width = Math.max(...rows.map(({ what }) => what.length));
  for (const source of new Set(rows.map((row) => row.source))) {
    console.log(`  ${source}`);
    for (const { what, expected, ours, agrees, why = '' } of rows.filter((row) => row.source === source)) {
      const verdict = agrees === undefined ? 'differs' : agrees ? 'same' : 'WRONG';
      console.log(`    ${what.padEnd(width)}  expected ${figure(expected)}  ours ${figure(ours)}  ${verdict.padEnd(7)}  ${why}`.trimEnd());
    }
  }
}

function figure(value) {
  if (Array.isArray(value))
    return value
      .map((end) => figure(end).trim())
      .join('–')
      .padEnd(8);
  return (typeof value === 'number' ? String(Number(value.toPrecision(4))) : value).padEnd(8);
}
