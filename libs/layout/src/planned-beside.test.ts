import { LongtailError, type AskLayout, type LayoutRequest } from '@longtail/core';
import type { Fault, Outcome } from '@longtail/simulator';
import { describe, expect, test } from 'vitest';
import { plannedLayout } from './planned-layout.js';
import { job, of, profile, run, SAMPLES, worker } from './testing/six-blocks.js';

const PLAN_MS = 20_000;

const movesOf = (outcome: Outcome) => of(outcome, 'replan').filter(({ moves }) => moves);
const placesOf = (outcome: Outcome) => of(outcome, 'layout').map(({ groups }) => groups.flatMap(({ stages }) => stages.map(({ name }) => name)).sort().join(''));

/** What was asked of a planner that takes its time, and whether somebody still wanted it. */
function slowly(fail?: (request: LayoutRequest) => void) {
  const asked: { readonly request: LayoutRequest; readonly signal: AbortSignal }[] = [];
  const planned = plannedLayout(() => profile);
  const layout: AskLayout = (request, signal) => {
    asked.push({ request, signal });
    fail?.(request);
    return planned(request);
  };
  return { asked, rest: { layout, planMs: PLAN_MS } };
}

function expectAllApplied({ verdict, events }: Outcome): void {
  expect(verdict, verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied: SAMPLES, lost: 0 } });
  expect(events.filter(({ body }) => body.event === 'error')).toEqual([]);
}

describe('while a plan is made', () => {
  test('rounds go on, and groups move when it is there', async () => {
    const slow: Fault = { kind: 'slow', worker: 'a', atMs: 60_000, forMs: 1e9, factor: 2 };
    const [atOnce, { asked, rest }] = [await run([worker('a'), worker('b')], [slow]), slowly()];
    const outcome = await run([worker('a'), worker('b')], [slow], rest);
    expectAllApplied(outcome);
    const [[inLine], [move, ...others]] = [movesOf(atOnce), movesOf(outcome)];
    expect(others).toEqual([]);
    expect(move!.timeMs - inLine!.timeMs).toBeGreaterThan(PLAN_MS);
    const askedAtMs = asked.find(({ request }) => request.begun)!.request.standing!.nowMs;
    const meanwhile = of(outcome, 'commit').filter(({ timeMs }) => timeMs > askedAtMs && timeMs < askedAtMs + PLAN_MS);
    expect(meanwhile.length).toBeGreaterThan(2);
    expect(asked.filter(({ request }) => request.standing?.nowMs === askedAtMs), 'it is not made again for the groups to come home').toHaveLength(1);
    expect(placesOf(outcome)).toEqual(['ab', 'ab']);
  });

  test('whoever joins is planned with in the next one', async () => {
    const { asked, rest } = slowly();
    const outcome = await run([worker('a'), worker('b'), worker('c', { samplesPerSecond: 80, joinAtMs: 50_000 })], [], rest);
    expectAllApplied(outcome);
    expect(placesOf(outcome)[0]).toBe('ab');
    expect(placesOf(outcome).at(-1)).toContain('c');
    const sizes = asked.map(({ request }) => request.nodes.length);
    expect(sizes).toEqual([...sizes].sort());
  });

  test('of whoever leaves nothing is formed, and the others are planned for again', async () => {
    const { asked, rest } = slowly();
    const kill: Fault = { kind: 'kill', worker: 'b', atMs: 30_000 };
    const cluster = { ...job.cluster, minWorkers: 3 };
    const outcome = await run([...'abcd'].map((name) => worker(name)), [kill], { ...rest, job: { ...job, cluster } });
    expect(outcome.fired).toContain(kill);
    expectAllApplied(outcome);
    const places = placesOf(outcome);
    expect(asked.map(({ request }) => request.nodes.length).slice(0, 3), 'figures, a plan with b, one without').toEqual([4, 4, 3]);
    expect(places.join()).not.toContain('b');
    expect(places.at(-1)).toBe('acd');
  });

  test('one for before training is dropped as it begins: nothing that is at work moves without being weighed', async () => {
    const { asked, rest } = slowly();
    const outcome = await run([worker('a', { prepareMs: 15_000 }), worker('b', { prepareMs: 15_000 }), worker('c', { joinAtMs: PLAN_MS + 10_000 })], [], rest);
    expectAllApplied(outcome);
    const dropped = asked.filter(({ signal }) => signal.aborted);
    expect(dropped.map(({ request }) => request.begun)).toEqual([false]);
    expect(placesOf(outcome)[0]).toBe('ab');
  });

  test('the run that it was for may end: nobody wants it any more', async () => {
    const { asked, rest } = slowly();
    const [a, b] = [worker('a'), worker('b')];
    const { virtualMs } = await run([a, b], [], rest);
    const outcome = await run([a, b, worker('c', { joinAtMs: virtualMs - PLAN_MS / 2 })], [], rest);
    expectAllApplied(outcome);
    expect(outcome.virtualMs).toBeLessThan(virtualMs + PLAN_MS / 4);
    expect(asked.at(-1)!.request.nodes).toHaveLength(3);
    expect(asked.map(({ signal }) => signal.aborted)).toEqual(asked.map((_, i) => i === asked.length - 1));
  });
});

test('a planner that fails ends the run with its error, as at once', async () => {
  const fail = ({ nodes }: LayoutRequest) => {
    if (nodes.length > 1) throw new LongtailError('it cannot be', { code: 'no-plan', hint: 'Try another one.' });
  };
  const outcomes = await Promise.all([undefined, PLAN_MS].map((planMs) => run([worker('a'), worker('b')], [], { ...slowly(fail).rest, planMs })));
  for (const { verdict } of outcomes) expect(verdict).toMatchObject({ status: 'failed', error: { code: 'no-plan', message: 'it cannot be', hint: 'Try another one.' } });
});
