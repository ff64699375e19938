import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where limits are read: this machine, or one that a test makes up. */
export interface Machine {
  readonly platform: NodeJS.Platform;
  readonly env: NodeJS.ProcessEnv;
  /** The system's files lie below it. */
  readonly root: string;
  /** What a program prints; undefined: it is not there, or failed. */
  run(program: string, args: readonly string[]): Promise<string | undefined>;
  /** Since the Unix epoch, as the times of files. */
  nowMs(): number;
}

/** A program that answers no sooner is as none. */
const RUN_MS = 5000;

export function thisMachine(): Machine {
  return { platform: process.platform, env: process.env, root: '/', run, nowMs: Date.now };
}

function run(program: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: RUN_MS, windowsHide: true }, (error, stdout) => resolve(error === null ? stdout : undefined));
  });
}

/** Trimmed; undefined where there is no such file, or it may not be read. */
export function readText(machine: Machine, ...path: readonly string[]): string | undefined {
  try {
    return readFileSync(join(machine.root, ...path), 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Undefined where it is none. */
export function readNumber(machine: Machine, ...path: readonly string[]): number | undefined {
  return toNumber(readText(machine, ...path));
}

export function toNumber(text: string | undefined): number | undefined {
  return text === undefined || text.trim() === '' || !Number.isFinite(Number(text)) ? undefined : Number(text);
}

/** Empty where there is no such folder. */
export function list(machine: Machine, ...path: readonly string[]): readonly string[] {
  try {
    return readdirSync(join(machine.root, ...path)).sort();
  } catch {
    return [];
  }
}
