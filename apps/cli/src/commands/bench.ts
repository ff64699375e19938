import { type Command, Option } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { setOption, tokenOption, wholeNumber } from './options.js';

export function benchCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('bench')
    .argument('<scenario>', 'scenario file (YAML)')
    .summary('describe a fleet, learn which way of training wins on it')
    .description(
      'Trains a job in each way that a scenario names, on the fleet that it describes, and says which is best and what bounds each. Server and workers are those of a live run, their clock, network and devices are virtual; --mode live takes processes of this machine, or with --server nodes that have joined.\nExit codes: 0 at least one arm ran, 3 the scenario is invalid, 6 the server cannot be reached or refuses, 7 the results cannot be written, 10 no arm could run, 130 interrupted: what is done is kept, and the same command goes on from there.',
    )
    .addOption(new Option('-m, --mode <mode>', 'virtual: real training in virtual time; timing: no arithmetic, for large fleets and models; live: processes of this machine, slowed down and on emulated links; both: live, and how far virtual time is off').choices(['virtual', 'timing', 'live', 'both']).default('virtual'))
    .option('--sweep <knob=values>', 'run each arm at several values of a knob: link.up, link.down, link.rtt, server.up, server.down or a field of the job')
    .addOption(setOption())
    .option('-o, --out <folder>', 'where the results go, and arms that are done are kept; default: bench/NAME-MODE')
    .option('-j, --jobs <count>', 'arms at once; default: as many as there are processors', wholeNumber(1, 1024))
    .option('--fresh', 'run also what is kept from before')
    .option('-s, --server <address>', 'with --mode live or both: on nodes that have joined this server, called as the machines of the scenario are')
    .addOption(tokenOption())
    .addOption(
      new Option('-e, --engine <name>', 'engine for the arithmetic; wasm gives the same bits on every machine, tensorflow is faster')
        .choices(['wasm', 'tensorflow', 'cpu'])
        .default('wasm'),
    );
  examples(command, [
    ['longtail bench examples/scenarios/home-mixed.yaml', 'its ways of training, on five unequal homes'],
    ['longtail bench scenario.yaml --sweep link.up=5mbit..100mbit', 'each at five rates of the uplinks'],
    ['longtail bench scenario.yaml --sweep sync.localSteps=10,50,200', 'each with so many local steps'],
    ['longtail bench scenario.yaml --mode both', 'also live, here, and how far predictions are off'],
    ['longtail bench scenario.yaml --mode both --server 192.0.2.7', 'the same on the machines that it describes'],
    ['longtail bench scenario.yaml --json | tail -1 | jq .winner', 'the result as JSON'],
  ]);
  bind(command, outcome, async () => (await import('../actions/bench.js')).bench);
  reportCommand(command, outcome);
  calibrateCommand(command, outcome);
  devicesCommand(command, outcome);
}

function reportCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('report')
    .argument('<folder>', 'where the results of a bench are')
    .summary('draw the report of a bench again')
    .description('Writes report.html, charts/*.svg and series/*.csv beside the result.json of a bench, which writes them itself when it ends.\nExit codes: 0 written, 3 the result cannot be read, 4 there is none, 7 the report cannot be written.');
  examples(command, [['longtail bench report bench/home-mixed-virtual', 'after an update, or where the report was lost']]);
  bind(command, outcome, async () => (await import('../actions/bench-report.js')).benchReport);
}

function calibrateCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('calibrate')
    .argument('<job>', 'job file (YAML)')
    .summary('measure this machine, to describe it in a scenario')
    .description(
      'Fits what a scenario describes a machine by, and prints it as scenarios take it. The device: samples a second, and a part that is the same for every batch, from batches of two sizes on one thread. The link to a server: rates and round trip, as its nodes find it.\nExit codes: 0 measured, 3 the job is invalid, 6 the server cannot be reached or refuses, 130 interrupted.',
    )
    .option('-s, --server <address>', 'server whose link to measure; default: one that is started on this machine')
    .addOption(tokenOption())
    .addOption(new Option('-e, --engine <name>', 'engine to measure').choices(['wasm', 'tensorflow', 'cpu']).default('wasm'));
  examples(command, [
    ['longtail bench calibrate examples/mnist.yaml --engine tensorflow', 'as workers of this machine compute'],
    ['longtail bench calibrate examples/mnist.yaml --server 192.0.2.7', 'and how fast it reaches that server'],
  ]);
  bind(command, outcome, async () => (await import('../actions/bench-calibrate.js')).calibrate);
}

function devicesCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('devices')
    .summary('list the GPUs and links that a fleet may name')
    .description('Lists the devices of the catalogue with the figures of their makers (peak fp32 and fp16 TFLOP/s, GiB, GB/s, watts, list price at launch in US dollars), and the classes of links. Other machines stand in a scenario by their samples a second.\nExit codes: 0 listed.');
  examples(command, [
    ['longtail bench devices', 'for fleet.machines of a scenario, or a fleet file'],
    ['longtail bench devices --json | jq .gpus', 'the same as JSON'],
  ]);
  bind(command, outcome, async () => (await import('../actions/bench-devices.js')).benchDevices);
}
