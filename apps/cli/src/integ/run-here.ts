import { join } from 'node:path';
import { vi } from 'vitest';
import { run } from '../program.js';

/** What a command says, where nothing of it is a process's own: in this process, in `folder`, from the sources. One at a time. */
export async function runHere(args: readonly string[], folder: string, env: Readonly<Record<string, string>> = {}): Promise<{ readonly exitCode: number; readonly lines: readonly string[]; readonly stderr: string }> {
  const before = process.cwd();
  const said = { stdout: '', stderr: '' };
  const streams = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((chunk) => {
      said[name] += String(chunk);
      return true;
    }),
  );
  for (const [name, value] of Object.entries({ NO_COLOR: '1', LONGTAIL_STATE: join(folder, 'state'), ...env })) vi.stubEnv(name, value);
  process.chdir(folder);
  try {
    const exitCode = await run(args);
    return { exitCode, lines: said.stdout.split('\n').slice(0, -1), stderr: said.stderr };
  } finally {
    process.chdir(before);
    vi.unstubAllEnvs();
    streams.forEach((stream) => stream.mockRestore());
  }
}
