import { readSync } from 'node:fs';

/** Between two looks at an input that has nothing yet. */
const LOOK_EVERY_MS = 20;

/** A line of a descriptor, trimmed; what there is where it ends without one. Waits for it, and with it the whole thread. */
export function readLine(fd: number): string {
  const byte = new Uint8Array(1);
  const bytes: number[] = [];
  while (readByte(fd, byte) && byte[0] !== 0x0a) bytes.push(byte[0]!);
  return Buffer.from(bytes).toString('utf8').trim();
}

/** False at the end. A terminal, or a pipe that another process shares, may be set not to wait: then this does. */
function readByte(fd: number, byte: Uint8Array): boolean {
  for (;;) {
    try {
      return readSync(fd, byte) === 1;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EOF') return false; // as Windows says it
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_EVERY_MS);
    }
  }
}
