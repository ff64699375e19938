import { Command, CommanderError } from 'commander';
import { EXIT_CODES, LongtailError, redactor } from '@longtail/core';
import { benchCommand } from './commands/bench.js';
import { cancelCommand, jobsCommand, nodesCommand, runsCommand } from './commands/cluster.js';
import type { Outcome } from './commands/command.js';
import { examples } from './commands/command.js';
import { demoCommand } from './commands/demo.js';
import { doctorCommand } from './commands/doctor.js';
import { engineCommand } from './commands/engine.js';
import { explainCommand } from './commands/explain.js';
import { exportCommand } from './commands/export.js';
import { joinCommand } from './commands/join.js';
import { launchCommand } from './commands/launch.js';
import { logsCommand } from './commands/logs.js';
import { drainCommand, pauseCommand, unpauseCommand } from './commands/node.js';
import { planCommand } from './commands/plan.js';
import { replayCommand } from './commands/replay.js';
import { forkCommand, resumeCommand } from './commands/resume.js';
import { schemaCommand } from './commands/schema.js';
import { forgetCommand, revokeCommand, tokenCommand } from './commands/token.js';
import { takeOverCommand } from './commands/take-over.js';
import { upCommand } from './commands/up.js';
import { createOutput } from './terminal/output.js';
import { VERSION } from './version.js';

const EXIT_CODE_HELP = `
Exit codes: 0 success, 1 internal error, 2 wrong use, 3 invalid file, 4 invalid or missing data, 5 engine, 6 connection,
7 storage, 8 the model diverged, 9 time out, 10 no plan fits, 11 a replay differs, 130 cancelled.`;

/** The whole command; `outcome` receives the exit code of the action that runs. */
function createProgram(outcome: Outcome): Command {
  const program = new Command('longtail');
  program
    .description('Trains one neural network on many unequal machines.')
    .version(VERSION)
    .option('--json', 'machine-readable: one JSON line an event, on stdout')
    .option('-q, --quiet', 'results and errors only')
    .option('--debug', 'stack traces and what the processes say')
    .configureHelp({ showGlobalOptions: true, helpWidth: 120, visibleGlobalOptions: (command) => (command.parent === null ? [] : [...program.options]) })
    .showSuggestionAfterError()
    .configureOutput({ writeErr: (text) => void process.stderr.write(redactor(process.env).text(text)) })
    .exitOverride();
  const commands = [
    demoCommand,
    upCommand,
    takeOverCommand,
    joinCommand,
    launchCommand,
    planCommand,
    benchCommand,
    nodesCommand,
    jobsCommand,
    runsCommand,
    logsCommand,
    explainCommand,
    replayCommand,
    cancelCommand,
    pauseCommand,
    unpauseCommand,
    drainCommand,
    resumeCommand,
    forkCommand,
    exportCommand,
    tokenCommand,
    revokeCommand,
    forgetCommand,
    doctorCommand,
    engineCommand,
    schemaCommand,
  ];
  for (const add of commands) add(program, outcome);
  examples(program, [
    ['longtail demo', 'a server and four unequal workers, here and now'],
    ['longtail up', 'a server; then on each machine: longtail join ADDRESS'],
    ['longtail launch job.yaml', 'train on the workers that have joined'],
    ['longtail doctor', 'what this machine has, and what it lacks'],
  ]);
  program.addHelpText('after', EXIT_CODE_HELP);
  return program;
}

/** Runs the command with its arguments (without `node` and script); resolves with the exit code of the process. */
export async function run(args: readonly string[]): Promise<number> {
  const outcome: Outcome = { exitCode: 0 };
  const program = createProgram(outcome);
  try {
    if (args.length === 0) program.help();
    await program.parseAsync(args, { from: 'user' });
    return outcome.exitCode;
  } catch (error) {
    // commander has said what is wrong; help and version are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_CODES.usage;
    return fail(error, args.includes('--debug'));
  }
}

function fail(error: unknown, debug: boolean): number {
  createOutput({ json: false, quiet: false, debug }).fail(error);
  return LongtailError.from(error).exitCode;
}
