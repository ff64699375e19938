import { readSync } from 'node:fs';
import { LongtailError } from '@longtail/core';

/** Between two looks at an input that has nothing yet. */
const LOOK_EVERY_MS = 20;

const [INTERRUPT, END_OF_INPUT, LINE_FEED, RETURN] = [0x03, 0x04, 0x0a, 0x0d];

/** A line of a descriptor, trimmed; what there is where it ends without one. Waits for it, and with it the whole thread. */
export function readLine(fd: number): string {
  return readUntil(fd, [LINE_FEED]).text.trim();
}

/**
 * A line that is typed or pasted at the terminal of this process, which does not show it. Backspace and Ctrl-U do what they do elsewhere. Throws
 * LongtailError `cancelled` at Ctrl-C.
 */
export function readSecret(prompt: string): string {
  process.stdin.setRawMode(true);
  try {
    process.stderr.write(prompt);
    const { text, end } = readUntil(0, [INTERRUPT, END_OF_INPUT, LINE_FEED, RETURN]);
    if (end === INTERRUPT) throw new LongtailError('interrupted', { code: 'cancelled' });
    return edited(text).trim();
  } finally {
    process.stdin.setRawMode(false);
    process.stderr.write('\n');
  }
}

/** What a line comes to, typed at a terminal that does nothing about it: without what keys like arrows send, and what was taken back. */
export function edited(line: string): string {
  const keys = line.replace(/\x1b(?:\[[\d;?]*[@-~]|O?[@-~])/g, '');
  const text: string[] = [];
  for (const character of keys.slice(keys.lastIndexOf('\x15') + 1)) {
    if (character === '\b' || character === '\x7f') text.pop();
    else if (character >= ' ') text.push(character);
  }
  return text.join('');
}

/** Bytes up to one of `ends`, which is left out; `end` is undefined where the input ended. */
function readUntil(fd: number, ends: readonly number[]): { readonly text: string; readonly end: number | undefined } {
  const byte = new Uint8Array(1);
  const bytes: number[] = [];
  let end: number | undefined;
  while (end === undefined && readByte(fd, byte)) {
    if (ends.includes(byte[0]!)) end = byte[0];
    else bytes.push(byte[0]!);
  }
  return { text: Buffer.from(bytes).toString('utf8'), end };
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
