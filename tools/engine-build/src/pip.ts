import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { LongtailError } from '@longtail/core';
import { atLeast } from '@longtail/engine/native';
import { run, throwIfCancelled } from './child.js';

/** One way to call pip, such as `['python3', '-m', 'pip']`. */
type PipCommand = readonly [string, ...string[]];

const CANDIDATES: readonly PipCommand[] = [['python3', '-m', 'pip'], ['python', '-m', 'pip'], ['pip3'], ['pip']];

export interface Pip {
  readonly command: PipCommand;
  readonly version: string;
}

/** The first pip that answers and is new enough to know `manylinux_2_27` (20.3); else the version of one that is too old. */
export async function findPip(signal?: AbortSignal): Promise<{ pip?: Pip; tooOld?: string }> {
  let tooOld: string | undefined;
  for (const command of CANDIDATES) {
    const { code, stdout } = await run(command[0], [...command.slice(1), '--version'], { signal, env: pipEnvironment() });
    const version = code === 0 ? /^pip (\d+(?:\.\d+)+)/m.exec(stdout)?.[1] : undefined;
    if (version !== undefined && atLeast(version, 20, 3)) return { pip: { command, version } };
    tooOld ??= version;
  }
  return { tooOld };
}

export interface DownloadRequest {
  readonly requirements: readonly string[];
  /** Where the wheels go; pip's temporary files go beside it, so that a small `/tmp` does not matter. */
  readonly folder: string;
  readonly platforms: readonly string[];
  readonly signal?: AbortSignal;
}

/**
 * Downloads wheels without installing anything.
 *
 * Which Python runs pip does not matter, as no Python code is used: the wheels asked for are those of one fixed Python,
 * so that everybody gets the same files. Only if an index does not have these, those of the running Python are taken.
 *
 * @returns the paths of the wheels in `folder`.
 * @throws LongtailError `engine` with pip's own words.
 */
export async function downloadWheels(pip: Pip, request: DownloadRequest): Promise<string[]> {
  const { requirements, folder, platforms, signal } = request;
  const temporary = `${folder}.tmp`;
  let firstFailure: string | undefined;
  for (const attempt of downloadAttempts(requirements, folder, platforms, accountConfig())) {
    await Promise.all([mkdir(folder, { recursive: true }), mkdir(temporary, { recursive: true })]);
    const env = { ...pipEnvironment(), TMPDIR: temporary, ...attempt.env };
    const { code, stderr, stdout } = await run(pip.command[0], [...pip.command.slice(1), ...attempt.args], { signal, env });
    await rm(temporary, { recursive: true, force: true });
    if (code === 0) return (await readdir(folder)).filter((name) => name.endsWith('.whl')).map((name) => join(folder, name));
    firstFailure ??= lastError(stderr || stdout);
    await rm(folder, { recursive: true, force: true });
  }
  throwIfCancelled(signal);
  throw new LongtailError(`pip could not download ${requirements.join(', ')}: ${firstFailure}`, {
    code: 'engine',
    hint: 'Check the network, or tell pip your package index (`PIP_INDEX_URL`), and try again; or use another engine: `--engine wasm`.',
  });
}

interface DownloadAttempt {
  readonly args: string[];
  readonly env: NodeJS.ProcessEnv;
}

/** The calls of pip to try, in this order. */
export function downloadAttempts(
  requirements: readonly string[],
  folder: string,
  platforms: readonly string[],
  configFile: string | undefined,
): DownloadAttempt[] {
  const common = ['download', '--no-deps', '--only-binary=:all:', '--no-cache-dir', '--progress-bar=off', '--retries=2', '--dest', folder];
  const fixedPython = ['--python-version=3.11', '--implementation=cp'];
  const fixed = [...common, ...fixedPython, ...platforms.map((platform) => `--platform=${platform}`), ...requirements];
  const own = [...common, ...requirements];
  const environments: NodeJS.ProcessEnv[] = configFile === undefined ? [{}] : [{}, { PIP_CONFIG_FILE: configFile }];
  return environments.flatMap((env) => [fixed, own].map((args) => ({ args, env })));
}

/**
 * The pip configuration of the account when `$HOME` points elsewhere (a sandbox, a CI step with a fresh home): it may
 * name the only index that can be reached.
 */
function accountConfig(): string | undefined {
  if (process.env.PIP_CONFIG_FILE) return undefined;
  let accountHome: string;
  try {
    accountHome = userInfo().homedir;
  } catch {
    return undefined;
  }
  if (accountHome === homedir()) return undefined;
  const places = ['.config/pip/pip.conf', '.pip/pip.conf', 'Library/Application Support/pip/pip.conf'];
  return places.map((place) => join(accountHome, place)).find((path) => existsSync(path));
}

/** The user's environment less what would make pip ask questions, or refuse to work outside a virtual environment. */
function pipEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PIP_NO_INPUT: '1', PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_REQUIRE_VIRTUALENV: '0' };
}

/** pip's last line that starts with ERROR, else its last line. */
export function lastError(output: string): string {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  const error = lines.findLast((line) => line.startsWith('ERROR:'));
  return error?.replace('ERROR:', '').trim() ?? lines.at(-1) ?? 'it gave no reason';
}
