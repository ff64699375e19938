// Plain TCP, the control of links.mjs: the same bytes both ways at once, a connection a worker. No chunk waits for another's, and nothing is
// computed: what TCP, the links and the machine make of it. The server, or with an address a worker.
import { connect, createServer } from 'node:net';
import { readOptions, report } from './process.mjs';

const { workers, length, rounds, host, address, gapMs } = readOptions();
const bytes = Buffer.alloc(length * 4);
const aByte = bytes.subarray(0, 1);
if (address === undefined) serve();
else work();

/** Each round: a byte that says go, the bytes, and a byte more when as many have come, to which the worker answers how long it took. */
function serve() {
  const sockets = [];
  let round = 0;
  let missing = 0;
  let slowestMs = 0;
  const server = createServer((socket) => {
    let left = bytes.length;
    socket.setNoDelay(true);
    socket.on('data', (data) => {
      if (left > 0) {
        left -= data.length;
        if (left === 0) socket.write(aByte);
        return;
      }
      slowestMs = Math.max(slowestMs, Number(data));
      left = bytes.length;
      if (--missing === 0) end();
    });
    if (sockets.push(socket) === workers) startRound();
  });
  server.listen(0, host, () => report({ address: server.address().port }));

  function startRound() {
    missing = workers;
    slowestMs = 0;
    for (const socket of sockets) {
      socket.write(aByte);
      socket.write(bytes);
    }
  }

  function end() {
    report({ ms: slowestMs });
    if (++round < rounds) return void setTimeout(startRound, gapMs);
    server.close();
    for (const socket of sockets) socket.end();
  }
}

function work() {
  const socket = connect(address, host).setNoDelay(true);
  let left = 0;
  let round = 0;
  let startedAt = 0;
  socket.on('data', (data) => {
    if (left === 0) {
      left = bytes.length + 2;
      startedAt = performance.now();
      socket.write(bytes);
    }
    left -= data.length;
    if (left > 0) return;
    socket.write(String(performance.now() - startedAt));
    if (++round === rounds) report({ correct: left === 0 });
  });
}
