// An end of peer.mjs's link: sends activations there and back, then as many as go one way.
import { createKernels } from '@longtail/kernels';
import { openPeers } from '@longtail/transport';
import { header, readOptions, report } from './process.mjs';

const { address, key, sizes, exchanges, streamed } = readOptions();
const { crc32c } = createKernels();
const { signal } = new AbortController();
const peers = await openPeers({ crc32c: (bytes) => crc32c(bytes) });
if (address === undefined) report({ address: peers.address });
const link = await (address === undefined ? peers.accept(key, signal) : peers.dial(address, key, signal));
const arrived = queue();
link.start({
  tensor: ({ header: { chunk, chunks } }) => void (chunk + 1 === chunks && arrived.push()),
  closed: () => void peers.close('done').then(() => process.exit()),
});

for (const bytes of sizes) await (address === undefined ? answer(bytes) : ask(bytes));
if (address !== undefined) link.close('done');

async function ask(bytes) {
  const ms = [];
  for (let exchange = 0; exchange < exchanges; exchange++) {
    const startMs = performance.now();
    send(bytes);
    await arrived.next();
    ms.push((performance.now() - startMs) / 2);
  }
  const startMs = performance.now();
  const sent = [];
  for (let count = 0; count < streamed; count++) {
    sent.push(send(bytes));
    if (sent.length >= 4) await sent.shift();
  }
  await arrived.next(); // the last one has arrived
  report({ bytes, oneWayMs: ms.slice(exchanges / 4), gigabytesPerSecond: (streamed * bytes) / 1e6 / (performance.now() - startMs) });
}

async function answer(bytes) {
  for (let exchange = 0; exchange < exchanges; exchange++) {
    await arrived.next();
    send(bytes);
  }
  for (let count = 0; count < streamed; count++) await arrived.next();
  send(4);
}

/** An activation in memory of its own, as a stage gives it. */
function send(bytes) {
  const values = new Uint8Array(bytes).fill(1);
  const chunk = (offset, length) => values.subarray(offset * 4, (offset + length) * 4);
  const sent = link.sendTensor({ header: header('activation', 0), length: bytes / 4, chunkLength: 262_144, chunk }, signal);
  sent.catch(() => undefined); // the last acknowledgement may come after the end
  return sent;
}

function queue() {
  let count = 0;
  let wake = () => undefined;
  return {
    push: () => {
      count++;
      wake();
    },
    next: async () => {
      while (count === 0) await new Promise((resolve) => (wake = resolve));
      count--;
    },
  };
}
