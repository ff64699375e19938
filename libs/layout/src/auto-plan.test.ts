import { withSync, type DeviceProfile, type Job, type ModelProfile, type Plan, type PlanRequest } from '@longtail/core';
import { USUAL_CODING } from '@longtail/kernels';
import { createPlan, planRequestFor } from '@longtail/planner';
import { expect, test } from 'vitest';
import { planWithSync } from './auto-plan.js';

const MIB = 2 ** 20;

const block = (name: string) => ({ name, parameters: MIB, tied: [], forwardFlops: 4e9, backwardFlops: 8e9, outputBytes: 4096, stashBytes: 8192, cutAfter: true });
const profile: ModelProfile = { name: 'six', inputBytes: 512, blocks: [...'abcdef'].map(block) };
const adam = { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, decoupled: false };
const job = { train: { batch: 48, optimizer: adam }, sync: { strategy: 'auto', codec: 'fp32' }, cluster: { minWorkers: 3 } } as unknown as Job;

const device = (id: string, mebibytes: number, up: number): DeviceProfile => ({ id, name: id, flopsPerSecond: 2e12, memoryBytes: mebibytes * MIB, upBitsPerSecond: up, downBitsPerSecond: 5 * up, roundTripMs: 10 });

test.each<[string, readonly DeviceProfile[]]>([
  ['workers that hold the model', [device('a', 900, 1e8), device('b', 900, 5e7)]],
  ['a worker that holds it and two that do not', [device('a', 900, 1e8), device('b', 150, 1e8), device('c', 150, 1e8)]],
  ['workers that do not', [device('a', 150, 1e8), device('b', 150, 1e8), device('c', 150, 1e8), device('d', 100, 5e7), device('e', 150, 1e8)]],
])('what is planned with `sync: auto` is planned for what that says: %s', (_, devices) => {
  const lans = [{ name: 'office', devices: devices.map(({ id }) => id), bitsPerSecond: 1e9, roundTripMs: 0.5 }];
  const cluster = { devices, lans, peers: [] };
  const asked: { readonly request: PlanRequest; readonly plan: Plan }[] = [];
  const { plan, sync } = planWithSync(job, profile, cluster, (request) => {
    const plan = createPlan(profile, cluster, request);
    asked.push({ request, plan });
    return plan;
  }, () => USUAL_CODING);
  const { request } = asked.find((one) => one.plan === plan)!;
  const wanted = planRequestFor(withSync(job, sync!));
  for (const key of ['stepsPerRound', 'upBitsPerValue', 'downBitsPerValue', 'batch', 'wholeModels'] as const) expect(request[key], key).toBe(wanted[key]);
});

test('where no plan has room for local steps the server steps, and the plan is for that', () => {
  // 24 MiB of parameters: 120 MiB as the server steps, 168 with moments beside them.
  const devices = ['a', 'b'].map((id) => device(id, 70, 1e6));
  const cluster = { devices, lans: [{ name: 'office', devices: ['a', 'b'], bitsPerSecond: 1e9, roundTripMs: 0.5 }], peers: [] };
  const planBy = (request: PlanRequest) => createPlan(profile, cluster, request);
  const { plan, sync } = planWithSync(job, profile, cluster, planBy, () => USUAL_CODING);
  expect(sync).toMatchObject({ strategy: 'bsp', codec: 'int4' });
  expect(sync!.reason).toContain('have no room for an optimizer of their own');
  expect(plan.groups.map(({ kind }) => kind)).toEqual(['pipeline']);
  expect(() => planBy(planRequestFor(withSync(job, { ...sync!, strategy: 'diloco', localSteps: 20 })))).toThrow('no plan');
});
