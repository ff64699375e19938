// A direct link between two workers: one-way time of an activation (half an exchange), and the rate of many, on loopback.
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { start } from './start.mjs';

const { values } = parseArgs({ options: { exchanges: { type: 'string', default: '200' }, streamed: { type: 'string', default: '200' } } });
const script = fileURLToPath(new URL('neighbour.mjs', import.meta.url));
const options = {
  key: randomBytes(16).toString('hex'),
  sizes: [256, 524_288, 1_048_576, 4_194_304],
  exchanges: Number(values.exchanges),
  streamed: Number(values.streamed),
};
const listening = start(process.execPath, [script, JSON.stringify(options)]);
const { address } = await listening.next();
const dialling = start(process.execPath, [script, JSON.stringify({ ...options, address })]);
for (const _ of options.sizes) {
  const { bytes, oneWayMs, gigabytesPerSecond } = await dialling.next();
  const sorted = oneWayMs.toSorted((a, b) => a - b);
  const at = (fraction) => sorted[Math.floor(fraction * (sorted.length - 1))].toFixed(2);
  console.log(`${(bytes / 1e6).toFixed(3)} MB: one way ${at(0.5)} ms (10–90 %: ${at(0.1)}–${at(0.9)}), many: ${gigabytesPerSecond.toFixed(2)} GB/s`);
}
await Promise.all([listening.exited, dialling.exited]);
