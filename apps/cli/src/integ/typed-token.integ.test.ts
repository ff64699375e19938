import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatJoinToken } from '@longtail/access';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BIN } from './cli-process.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longtail-typed-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** What a terminal shows where `keys` are typed when a command asks for a token, and how the command ends. No server is there. */
async function typed(keys: string): Promise<{ readonly shown: string; readonly code: number }> {
  const command = `"${process.execPath}" "${BIN}" nodes --server 127.0.0.1:1 --token -`;
  const terminal = spawn('script', ['-qec', command, '/dev/null'], { env: { ...process.env, LONGTAIL_STATE: folder }, stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(terminal, 'close') as Promise<[number]>;
  let shown = '';
  let asked = false;
  for await (const chunk of terminal.stdout as AsyncIterable<Buffer>) {
    shown += chunk.toString();
    if (!asked && shown.includes('token: ')) asked = terminal.stdin.write(keys);
  }
  return { shown, code: (await ended)[0] };
}

describe.runIf(process.platform === 'linux')('a token that is asked for at a terminal', () => {
  const token = formatJoinToken({ id: 'a1a1a1a1', role: 'engineer', authority: 'b2'.repeat(32), secret: 'c3'.repeat(16) });

  it('is not shown, and may be mended before it is sent', async () => {
    const { shown, code } = await typed(`wrong\x15${token}x\x7f\x1b[D\r`);
    expect(code, shown).toBe(6); // a token that is not whole would be wrong use
    expect(shown).toContain('127.0.0.1:1');
    expect(shown).not.toContain(token.slice(0, 12));
  });

  it('may be refused by Ctrl-C', async () => {
    expect(await typed('longtail-abc\x03')).toMatchObject({ code: 130, shown: expect.not.stringContaining('abc') as string });
  });
});
