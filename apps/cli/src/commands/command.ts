import type { Command } from 'commander';
import type { Output } from '../terminal/output.js';
import { createOutput } from '../terminal/output.js';

/** Options that every command takes. */
interface GlobalOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
}

/** Does a command's work; resolves with the exit code of the process. */
export type Action<Options, Arguments extends readonly unknown[]> = (
  output: Output,
  options: Options,
  ...args: Arguments
) => Promise<number>;

/** Set by the action that ran; `main` reads it. */
export interface Outcome {
  exitCode: number;
}

/**
 * Binds an action to a command: what it needs to speak, its options, its arguments in order. The action is loaded when
 * it runs, so that `--help` and a mistyped command need not wait for the libraries behind all of them.
 */
export function bind<Options, Arguments extends readonly unknown[]>(
  command: Command,
  outcome: Outcome,
  load: () => Promise<Action<Options, Arguments>>,
): void {
  command.action(async (...received: unknown[]) => {
    // commander passes the arguments, then the options, then the command.
    const args = received.slice(0, -2) as unknown as Arguments;
    const { json = false, quiet = false, debug = false } = command.optsWithGlobals<GlobalOptions>();
    // Of a command and one below it that have an option of the same name, as bench and bench calibrate have --server, commander gives it to the upper one.
    const options = command.optsWithGlobals<Options & object>();
    const action = await load();
    outcome.exitCode = await action(createOutput({ json, quiet, debug }), options, ...args);
  });
}

/** Examples at the end of a command's help. */
export function examples(command: Command, lines: readonly (readonly [call: string, meaning: string])[]): void {
  const width = Math.max(...lines.map(([call]) => call.length));
  command.addHelpText('after', `\nExamples:\n${lines.map(([call, meaning]) => `  $ ${call.padEnd(width)}   ${meaning}`).join('\n')}`);
}
