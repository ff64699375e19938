import { EXIT_CODES } from '@longtail/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { run } from './program.js';

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

async function helpOf(command: readonly string[]): Promise<string> {
  let text = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  expect(await run([...command, '--help'])).toBe(0);
  vi.restoreAllMocks();
  return text;
}

/** Every command of which help speaks, and theirs. */
async function commandsUnder(command: readonly string[]): Promise<string[][]> {
  const listed = (await helpOf(command)).split('\nCommands:\n')[1]?.split('\n\n')[0] ?? '';
  const names = [...listed.matchAll(/^ {2}([\w-]+)/gm)].map((match) => match[1]!).filter((name) => name !== 'help');
  const below = await Promise.all(names.map((name) => commandsUnder([...command, name])));
  return [[...command], ...below.flat()];
}

/** Lines of a command's description that end before they must, in the middle of a sentence. */
function brokenLines(help: string): string[] {
  const lines = help.split('\n\n')[1]!.split('\n');
  return lines.filter((line, i) => /[^.]$/.test(line) && i + 1 < lines.length && `${line} ${lines[i + 1]!.split(' ')[0]}`.length <= 120);
}

describe('--help', () => {
  it('has examples everywhere, in lines that fit', async () => {
    const commands = await commandsUnder([]);
    expect(commands.map((command) => command.join(' '))).toEqual(
      expect.arrayContaining(['', 'demo', 'engine', 'engine install', 'schema']),
    );
    for (const command of commands) {
      const help = await helpOf(command);
      expect(help, command.join(' ')).toMatch(/\nExamples:\n {2}\$ longtail/);
      expect(Math.max(...help.split('\n').map((line) => line.length)), command.join(' ')).toBeLessThanOrEqual(120);
      expect(brokenLines(help), command.join(' ')).toEqual([]);
    }
  });

  it('of a command within another has its own options, and those that all commands take', async () => {
    const help = await helpOf(['bench', 'report']);
    expect(help).toContain('--json');
    expect(help).not.toContain('--sweep');
  });
});

describe('plan', () => {
  it('is for a fleet or for a server, which the environment may name all the same', async () => {
    const said: string[] = [];
    vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => said.push(String(chunk)) > 0);
    const args = ['plan', 'none.yaml', '--fleet', 'fleet.yaml'];
    expect(await run([...args, '--server', '127.0.0.1:1'])).toBe(EXIT_CODES.usage);
    expect(said.join('')).toContain("error: option '-f, --fleet <file>' cannot be used with option '-s, --server <address>'");
    vi.stubEnv('LONGTAIL_SERVER', '127.0.0.1:1');
    expect(await run(args)).toBe(EXIT_CODES['missing-file']);
    expect(said.join('')).toContain('The job file none.yaml does not exist.');
  });
});
