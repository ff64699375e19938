import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchArm, BenchOutcome } from '@longtail/core';
import { expect, test } from 'vitest';
import { KeptArms } from './kept-arms.js';
import { runArm, type ArmTask } from './run-arm.js';
import { runBench } from './run-bench.js';
import { scenario } from './testing/scenario.js';
import { Workbench } from './workbench.js';

const workbench = new Workbench('cpu');
const options = { mode: 'virtual', engine: 'cpu', traces: {}, run: (task: ArmTask) => runArm(task, workbench) } as const;
const done = ({ outcome }: BenchArm): BenchOutcome => {
  if (outcome.status !== 'done') throw new Error(outcome.reason);
  return outcome;
};

const churny = `{machines: [
  {name: home, count: 2, samplesPerSecond: 100, link: {class: cable, up: {median: 10mbit, sigma: 0.5}}, throttling: {after: 2s, speed: 0.5}},
  {name: phone, count: 2, samplesPerSecond: 40, link: lte, churn: {type: exponential, here: 3s, away: 1s}}]}`;

test('the same bytes come out whoever runs the arms, and in whatever order; arms that are impossible do not hold the others up', async () => {
  const given = scenario('[{strategy: [bsp, diloco], sync.localSteps: 3}, {strategy: ssp, codec: int8}]', { fleet: churny, rest: 'seeds: [1, 2]\ntargetLoss: 0.85\n', epochs: 1 });
  const first = await runBench(given, options);
  const others = new Workbench('cpu');
  const waiting: (() => void)[] = [];
  const backwards = async (task: ArmTask) => {
    await new Promise<void>((resolve) => {
      waiting.unshift(resolve);
      if (waiting.length === first.arms.length) waiting.forEach((go) => go());
    });
    return runArm(task, others);
  };
  expect(JSON.stringify(await runBench(given, { ...options, run: backwards }))).toBe(JSON.stringify(first));
  expect(first.arms.map(({ name, seed, outcome }) => `${name}/${seed} ${outcome.status}`)).toEqual([
    'bsp localSteps 3/1 refused',
    'bsp localSteps 3/2 refused',
    'diloco localSteps 3/1 done',
    'diloco localSteps 3/2 done',
    'ssp int8/1 done',
    'ssp int8/2 done',
  ]);
  const [one, two] = first.arms.slice(2, 4).map(done);
  expect(one!.summary).not.toEqual(two!.summary);
  expect(first.winner!.reason).toContain('a loss of 0.85 after');
});

test('what an arm comes to adds up: time, samples, bytes, energy; and it learns', async () => {
  const given = scenario('[{strategy: [bsp, asp]}, {strategy: diloco, sync.localSteps: 2}]');
  const { arms, nodes, links } = await runBench(given, options);
  expect(nodes.map(({ name }) => name)).toEqual(['fast', 'slow']);
  expect(links.map(({ seed, links: drawn }) => [seed, ...drawn.map(({ up }) => up)])).toEqual([[1, 20e6, 8e6]]);
  for (const { summary, nodes: outcomes, loss, utilisation, spans, bottleneck } of arms.map(done)) {
    expect(bottleneck).toMatch(/^(compute|straggler|uplink|downlink|latency): /);
    expect(outcomes.reduce((sum, { samples }) => sum + samples, 0)).toBe(summary.samples);
    expect(summary.samples).toBe(4 * 360);
    for (const { hereMs, computeMs, sendMs, waitMs } of outcomes) expect(computeMs + sendMs + waitMs).toBeCloseTo(hereMs, 6);
    const curve = loss.filter(({ kind }) => kind === 'validation');
    expect(curve.at(-1)!.loss).toBeLessThan(0.8 * curve[0]!.loss);
    expect(curve.at(-1)!.loss).toBe(summary.finalLoss);
    loss.slice(1).forEach(({ timeMs, bytes }, i) => expect(timeMs >= loss[i]!.timeMs && bytes >= loss[i]!.bytes).toBe(true));
    for (const [node, row] of utilisation.rows.entries()) {
      expect(row.reduce<number>((sum, part) => sum + (part ?? 0) * utilisation.windowMs, 0)).toBeGreaterThanOrEqual(outcomes[node]!.computeMs - 1e-6);
    }
    for (const node of [0, 1]) {
      const own = spans.filter((span) => span.node === node);
      own.slice(1).forEach(({ fromMs }, i) => expect(fromMs).toBeCloseTo(own[i]!.toMs, 6));
    }
    const energy = outcomes.reduce((sum, { hereMs, computeMs }) => sum + (100 * (computeMs + 0.2 * (hereMs - computeMs))) / 3_600_000, 0);
    expect(summary.energyWattHours).toBeCloseTo(energy, 9);
  }
});

test('losses are told by all bytes that were moved until then, those of the first parameters too', async () => {
  const parameterBytes = 4e6;
  const { arms } = await runBench(scenario('[{strategy: diloco, codec: int4, sync.localSteps: 2}]', { rest: `standsFor: {parameters: ${parameterBytes / 4}}\n` }), options);
  const { loss, nodes } = done(arms[0]!);
  const [first, last] = [loss[0]!, loss.at(-1)!];
  const all = nodes.reduce((sum, { bytesUp, bytesDown }) => sum + bytesUp + bytesDown, 0);
  expect(first.bytes).toBeGreaterThan(nodes.length * parameterBytes);
  // What is left is the validation at the end of a run, of parameters in full.
  expect(all - last.bytes).toBeLessThan(1.01 * nodes.length * parameterBytes);
});

test.each(['virtual', 'timing'] as const)('mode %s tells how much of the arms is done while they are under way', async (mode) => {
  const heard: (readonly [done: number, parts: number])[] = [];
  let finished = 0;
  const progress = { done: (done: number) => void (finished = done), underWay: (parts: number) => void heard.push([finished, parts]) };
  await runBench(scenario('[{strategy: [bsp, asp]}]'), { ...options, mode, progress, run: (task, tell) => runArm(task, workbench, tell) });
  const all = heard.map(([done, parts]) => done + parts);
  expect(heard[0]).toEqual([0, 0]);
  expect(all).toEqual(all.toSorted((a, b) => a - b));
  expect(all.some((part) => part > 0.4 && part < 0.6)).toBe(true);
  expect(all.at(-1)).toBe(2);
});

test('arms that were done before are kept, and those alone whose scenario and program are the same', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'longtail-kept-'));
  const run = async (arms: string, program = 'this') => {
    const kept = new KeptArms(folder, program);
    const ran: string[] = [];
    const begun: string[] = [];
    const begin = async (tasks: readonly ArmTask[]) => void begun.push(...tasks.map(({ arm }) => arm.name));
    const result = await runBench(scenario(arms), { ...options, kept, begin, run: (task) => (ran.push(task.arm.name), runArm(task, workbench)) });
    expect(begun).toEqual(ran);
    return { ran, result };
  };
  const first = await run('[{strategy: [bsp, asp]}]');
  expect(first.ran).toEqual(['bsp', 'asp']);
  const second = await run('[{strategy: [bsp, asp]}, {strategy: bsp, codec: int8}]');
  expect(second.ran).toEqual(['bsp int8']);
  expect(JSON.stringify(second.result.arms.slice(0, 2))).toBe(JSON.stringify(first.result.arms));
  expect((await run('[{strategy: [bsp, asp]}]', 'the next')).ran).toEqual(['bsp', 'asp']);
});

test('links are told as each seed drew them, at each value of the knob, and nobody sends more than they carry', async () => {
  const given = scenario('[{strategy: [bsp, asp], codec: int8}]', { fleet: churny, rest: 'standsFor: {parameters: 1e6}\nseeds: [1, 2]\n', epochs: 1 });
  const { arms, links } = await runBench(given, { ...options, mode: 'timing', sweep: { knob: 'link.down', values: ['20mbit', '40mbit'] } });
  expect(links.map(({ seed, knob, links: [first] }) => [seed, knob, first!.down])).toEqual([[1, '20mbit', 20e6], [2, '20mbit', 20e6], [1, '40mbit', 40e6], [2, '40mbit', 40e6]]);
  expect(links[0]!.links[0]!.up).not.toBe(links[1]!.links[0]!.up);
  for (const arm of arms) {
    const { links: own } = links.find(({ seed, knob }) => seed === arm.seed && knob === arm.knob)!;
    for (const [i, { hereMs, bytesUp, bytesDown }] of done(arm).nodes.entries()) {
      expect(8000 * bytesUp).toBeLessThanOrEqual(1.0001 * own[i]!.up * hereMs);
      expect(8000 * bytesDown).toBeLessThanOrEqual(1.0001 * own[i]!.down * hereMs);
    }
  }
});

test('a knob that is swept makes arms of its own', async () => {
  let begun = 0;
  const begin = async (tasks: readonly ArmTask[]) => void (begun = tasks.length);
  const { arms, sweep } = await runBench(scenario('[{codec: fp32}]'), { ...options, begin, sweep: { knob: 'link.up', values: ['10kbit', '10mbit'] } });
  expect(sweep!.values).toEqual(arms.map(({ knob }) => knob));
  expect(begun).toBe(2);
  const [narrow, wide] = arms.map((arm) => done(arm).summary);
  expect(narrow!.samplesPerSecond).toBeLessThan(wide!.samplesPerSecond);
  expect(done(arms[0]!).bottleneck).toContain('uplink');
});

test('few bytes over a fast link with a long round trip: that is what bounds the run', async () => {
  const { arms } = await runBench(scenario('[{strategy: bsp}]', { fleet: '{machines: [{name: far, count: 2, samplesPerSecond: 10000, link: {up: 50mbit, down: 50mbit, rtt: 120ms}}]}' }), { ...options, mode: 'timing' });
  expect(done(arms[0]!).bottleneck).toMatch(/^latency: \d+ % of a round is receiving, most of that the round trip of far \d \(120 ms\); devices/);
});

test('a machine that is alone steps for itself, so that nothing but computing bounds the run', async () => {
  const { arms } = await runBench(scenario('[{strategy: bsp}]', { fleet: '{machines: [{name: hermit, samplesPerSecond: 10000, link: lte}]}' }), { ...options, mode: 'timing' });
  expect(done(arms[0]!).bottleneck).toMatch(/^compute: one machine trains by itself, and exchanges with nobody; devices are at work \d+ % of the time$/);
});

test('what bounds a run is the link that is full: the server\'s, where all wait for it, and not that of the machine which was last', async () => {
  const behind = async (server: string, link: string) => {
    const fleet = `{server: ${server}, machines: [{name: home, count: 12, samplesPerSecond: 1, link: ${link}}]}`;
    const { arms } = await runBench(scenario('[{strategy: bsp}]', { fleet, rest: 'standsFor: {parameters: 1e6}\n', epochs: 1 }), { ...options, mode: 'timing' });
    return done(arms[0]!).bottleneck;
  };
  expect(await behind('{up: 50mbit, down: 50mbit, rtt: 1ms}', 'lan')).toMatch(/^server: \d+ % of a round is (sending|receiving), and all share its 50 Mbit\/s (in|out); devices/);
  expect(await behind('datacenter', '{up: 5mbit, down: 100mbit, rtt: 1ms}')).toMatch(/^uplink: \d+ % of a round is sending, at last that of home \d+ \(5 Mbit\/s\)/);
  expect(await behind('datacenter', '{up: 5mbit, down: 100mbit, rtt: 1ms}, site: dorm')).toMatch(/^site: \d+ % of a round is sending, and 12 machines of dorm share its 5 Mbit\/s; devices/);
});

test('a device is a straggler where others wait for it, not where shares are such that all are done at one time', async () => {
  const fleet = '{machines: [{name: fast, count: 3, samplesPerSecond: 100, link: lan}, {name: slow, samplesPerSecond: 10, link: lan}]}';
  const given = scenario('[{planner: [planned, equal]}]', { fleet, rest: 'standsFor: {parameters: 2e6}\n' });
  const { arms } = await runBench(given, { ...options, mode: 'timing' });
  expect(done(arms[0]!).bottleneck).toMatch(/^compute: \d+ % of a round is computing, 4 of 4 machines take part in one, and none of those waits for another; devices are at work \d+ % of the time$/);
  expect(done(arms[1]!).bottleneck).toMatch(/^straggler: \d+ % of a round is computing, at last that of slow \(10 samples\/s\); devices/);
});

test('no device is a straggler where shares follow speed and speeds vary: each round another one is last, and the fastest has most to compute', async () => {
  const fleet = '{machines: [{name: fast, count: 3, samplesPerSecond: 20, jitter: 0.6, link: lan}, {name: slow, count: 3, samplesPerSecond: 5, jitter: 0.6, link: lan}]}';
  const { arms } = await runBench(scenario('[{strategy: bsp}]', { fleet, rest: 'standsFor: {parameters: 2e6}\n' }), { ...options, mode: 'timing' });
  expect(done(arms[0]!).bottleneck).toMatch(/^compute: \d+ % of a round is computing, and machines wait \d+ % of it for whoever is last, most often (fast|slow) \d \(\d+ % of rounds\); devices are at work \d+ % of the time$/);
});

test('work that came to nothing is told, beside what bounds a run or as that, and why most of it did', async () => {
  const fleet = '{machines: [{name: home, count: 4, samplesPerSecond: 10, jitter: 0.5, link: cable}]}';
  const boundWith = async (rest: string) => {
    const { arms } = await runBench(scenario('[{strategy: bsp, sync.quorum: 0.75, sync.grace: 0s}]', { fleet, rest }), { ...options, mode: 'timing' });
    const { summary, bottleneck } = done(arms[0]!);
    expect(summary.lostSamples).toBeGreaterThan(0.1 * summary.samples);
    return bottleneck;
  };
  expect(await boundWith('')).toMatch(/^lost work: \d+ % of the samples that were given out came to nothing \(mostly: came after the quorum and its grace\)$/);
  expect(await boundWith('standsFor: {parameters: 2e6}\n')).toMatch(/^uplink: .* of the time; \d+ % of the samples that were given out came to nothing \(mostly: came after the quorum and its grace\)$/);
});

test('an arm that is not done within the limit has failed, and the others go on', async () => {
  const { arms } = await runBench(scenario('[{strategy: bsp, codec: [fp32, sign]}]', { rest: 'standsFor: {parameters: 1e7}\nlimit: 5min\n' }), options);
  expect(arms.map(({ outcome }) => outcome.status)).toEqual(['failed', 'done']);
  expect(arms[0]!.outcome).toEqual({ status: 'failed', reason: 'not done within its limit of 5 min 0 s of virtual time' });
});

test('without arithmetic the same rounds take the same time and the same bytes, and nothing is learnt', async () => {
  const given = scenario('[{strategy: [bsp, diloco], codec: int8}]');
  const [virtual, timing] = [await runBench(given, options), await runBench(given, { ...options, mode: 'timing' })].map(({ arms }) => arms.map((arm) => done(arm)));
  for (const [i, { summary, loss }] of timing!.entries()) {
    const { wallMs, rounds, bytesUpPerNode, utilisation } = virtual![i]!.summary;
    expect(loss).toEqual([]);
    expect(summary.rounds).toBe(rounds);
    expect(summary.wallMs / wallMs).toBeCloseTo(1, 1);
    expect(summary.bytesUpPerNode / bytesUpPerNode).toBeCloseTo(1, 1);
    expect(summary.utilisation).toBeCloseTo(utilisation, 1);
  }
});

test('without arithmetic, too, a gradient that is on its way for minutes is waited for', async () => {
  const given = scenario('[{strategy: bsp}]', { rest: 'standsFor: {parameters: 100e6}\n', epochs: 1 });
  const [virtual, timing] = [await runBench(given, options), await runBench(given, { ...options, mode: 'timing' })].map(({ arms }) => done(arms[0]!).summary);
  expect(virtual!.wallMs / virtual!.rounds).toBeGreaterThan(120_000);
  expect(timing!.lostSamples).toBe(0);
  expect(timing!.wallMs / virtual!.wallMs).toBeCloseTo(1, 1);
});

test('auto goes by the links that the scenario describes, and by the model that the job stands for', async () => {
  const given = scenario('[{strategy: bsp}, {strategy: auto}]', { rest: 'standsFor: {parameters: 1e6}\n' });
  for (const mode of ['virtual', 'timing'] as const) {
    const [bsp, auto] = (await runBench(given, { ...options, mode })).arms.map((arm) => done(arm).summary);
    expect(auto!.bytesUpPerNode).toBeLessThan(bsp!.bytesUpPerNode / 10);
    expect(auto!.samplesPerSecond).toBeGreaterThan(2 * bsp!.samplesPerSecond);
  }
});

test('without arithmetic the fastest arm is the best, whatever loss the scenario aims at', async () => {
  const given = scenario('[{strategy: bsp, codec: [fp32, int8]}]', { rest: 'targetLoss: 0.4\n' });
  const { arms, winner, targetLoss } = await runBench(given, { ...options, mode: 'timing' });
  const [fp32, int8] = arms.map((arm) => done(arm).summary.samplesPerSecond);
  expect(int8).toBeGreaterThan(fp32!);
  expect(winner!.arm).toBe(arms[1]!.name);
  expect(winner!.reason).toMatch(/^[\d.]+ samples\/s, /);
  expect(targetLoss).toBeUndefined();
});

test('a model that no machine holds is laid out in pipelines, which learn what machines do that hold it', async () => {
  const rest = 'standsFor: {parameters: 4e6, flopsPerSample: 1e9}';
  const withMemory = (arms: string, memory: string) => {
    const machines = ['room', 'attic'].map((lan) => `{name: ${lan}, count: 2, samplesPerSecond: 100, memory: ${memory}, link: lan, lan: ${lan}}`);
    return scenario(arms, { fleet: `{machines: [${machines.join(', ')}]}`, rest, epochs: 1 });
  };
  const arms = '[{planner: [planned, solo], train.maxSamples: 120}, {strategy: diloco, sync.localSteps: 2, train.maxSamples: 240}]';
  const small = withMemory(arms, '70MiB');
  const virtual = await runBench(small, options);
  const [planned, refused, local] = virtual.arms;
  expect(refused!.outcome).toEqual({ status: 'refused', reason: 'no machine has the memory for the whole model' });
  const timing = await runBench(small, { ...options, mode: 'timing' });
  const whole = await runBench(withMemory('[{train.maxSamples: 120}]', '1GiB'), options);
  expect(done(whole.arms[0]!).summary.bubble).toBeUndefined();
  for (const [i, arm] of [[0, planned!], [2, local!]] as const) {
    const { bubble, finalLoss } = done(arm).summary;
    expect(bubble).toBeGreaterThan(0);
    expect(bubble).toBeCloseTo(done(timing.arms[i]!).summary.bubble!, 1);
    expect(finalLoss).toBeLessThan(done(arm).loss[0]!.loss);
  }
  const alike = done(whole.arms[0]!).loss.filter(({ kind }) => kind === 'training');
  const curve = done(planned!).loss.filter(({ kind }) => kind === 'training');
  expect(curve).toHaveLength(alike.length);
  curve.forEach(({ loss }, i) => expect(loss / alike[i]!.loss).toBeCloseTo(1, 5));
  const others = new Workbench('cpu');
  const again = await runBench({ ...small, arms: [small.arms[2]!] }, { ...options, run: (task) => runArm(task, others) });
  expect(JSON.stringify(again.arms)).toBe(JSON.stringify([local]));
});

test('all equal: everybody the same shares, so that the slowest decides; as planned it does not', async () => {
  const { arms } = await runBench(scenario('[{planner: [planned, equal]}]'), options);
  const [planned, equal] = arms.map(done);
  expect(equal!.nodes[0]!.samples).toBe(equal!.nodes[1]!.samples);
  expect(planned!.nodes[0]!.samples).toBeGreaterThan(2 * planned!.nodes[1]!.samples);
  expect(planned!.summary.samplesPerSecond).toBeGreaterThan(1.4 * equal!.summary.samplesPerSecond);
});
