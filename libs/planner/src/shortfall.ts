import type { DeviceProfile, MeasuredCluster, PlanRequest } from '@longtail/core';
import { formatBytes, LongtailError, STATE_BLOCK } from '@longtail/core';
import { CostModel } from './cost-model.js';
import { fits } from './search.js';

/** Sizes that cards come in. */
const CARD_GIB = [2, 4, 6, 8, 10, 12, 16, 24, 32, 48, 80, 96, 141, 192];

const GIB = 2 ** 30;

/** Of a parameter: both moments in 8 bits. */
const QUANTIZED_ADAM_BYTES = (2 * STATE_BLOCK.bytes) / STATE_BLOCK.length;

/** What is missing where nothing fits: the part that exceeds every device, or the sum that exceeds the fleet; and the ways out that were tried and work. */
export function shortfall(model: CostModel): LongtailError {
  return impossiblePart(model) ?? tooMuch(model);
}

/** Blocks between two cuts go on one device, whatever the plan. */
function impossiblePart(model: CostModel): LongtailError | undefined {
  const { costs, cluster, request } = model;
  const roomiest = cluster.devices.reduce((best, next) => (next.memoryBytes > best.memoryBytes ? next : best));
  const microbatch = Math.min(...request.microbatches);
  let worst: { start: number; end: number; needs: number } | undefined;
  for (let start = 0, end = 1; end <= costs.blocks; end++) {
    if (!costs.canCut(end)) continue;
    const needs = costs.memory(start, end, microbatch, 1, model.memory.mayRecompute(start, end)).total;
    if (needs > roomiest.memoryBytes && needs > (worst?.needs ?? 0)) worst = { start, end, needs };
    start = end;
  }
  if (worst === undefined) return undefined;
  const { blocks } = costs.profile;
  const [first, last] = [blocks[worst.start]!.name, blocks[worst.end - 1]!.name];
  const part = request.wholeModels
    ? `${costs.profile.name}, which its strategy leaves whole, needs`
    : first === last
      ? `block ${first} of ${costs.profile.name} needs`
      : `blocks ${first} to ${last} of ${costs.profile.name}, which no cut may part, need`;
  const engine = request.workspaceBytes > 0 ? ` (${formatBytes(request.workspaceBytes)} of it for the engine)` : '';
  return new LongtailError(
    `no plan: ${part} ${formatBytes(worst.needs)} on one device${engine}, and the roomiest, ${roomiest.name} (${roomiest.id}), offers ${formatBytes(roomiest.memoryBytes)}`,
    { code: 'no-plan', hint: waysOut(model) },
  );
}

function tooMuch(model: CostModel): LongtailError {
  const { costs, cluster, request } = model;
  const values = costs.parameters(0, costs.blocks);
  const state = values * (4 + request.stateBytesPerParameter);
  const microbatch = Math.min(...request.microbatches);
  const mayPart = cluster.devices.length > 1 && !request.wholeModels;
  const whole = costs.memory(0, costs.blocks, microbatch, 1, mayPart && request.recompute !== 'never');
  // Whoever holds a part leaves the optimizer's state to the server, where that steps.
  const elsewhere = mayPart && request.optimizer === 'server' ? whole.optimizer : 0;
  const needs = whole.total - elsewhere;
  const held = cluster.devices.reduce((sum, device) => sum + device.memoryBytes, 0);
  const roomiest = Math.max(...cluster.devices.map((device) => device.memoryBytes));
  const fleet = cluster.devices.length === 1 ? 'the one device' : `the fleet of ${cluster.devices.length}`;
  const [atServer, parts] = elsewhere > 0 ? [`, ${formatBytes(elsewhere)} of it at the server,`, ' in parts'] : ['', ''];
  const scattered = held >= needs ? `, no more than ${formatBytes(roomiest)} in one place` : '';
  return new LongtailError(
    `no plan: ${costs.profile.name} has ${formatBytes(state)} of parameters and optimizer state${atServer} and needs ${formatBytes(needs)} to train${parts}, ${fleet} holds ${formatBytes(held)}${scattered}`,
    { code: 'no-plan', hint: waysOut(model) },
  );
}

/** Each is tried before it is named. */
function waysOut(model: CostModel): string {
  const { cluster, request, costs } = model;
  // What fits at all fits with the smallest microbatches, and a server must not stand still while many ways are tried.
  const smallest = { ...request, microbatches: [Math.min(...request.microbatches)] };
  const works = (change: Partial<PlanRequest>, devices: MeasuredCluster = cluster) =>
    fits(new CostModel(costs.profile, devices, { ...smallest, ...change }));
  const ways: string[] = [];
  // The server keeps moments in 8 bits for itself (docs/adr/0015).
  const quantized = request.optimizer === 'server' ? 0 : QUANTIZED_ADAM_BYTES;
  const stateBytesPerParameter = Math.min(quantized, request.stateBytesPerParameter);
  const changes: readonly (readonly [string, Partial<PlanRequest>])[] = [
    ['recompute', { recompute: 'allowed' }],
    ['8-bit Adam', { stateBytesPerParameter }],
    ['recompute + 8-bit Adam', { recompute: 'allowed', stateBytesPerParameter }],
    ['recompute + 8-bit Adam + microbatches of 1', { recompute: 'allowed', stateBytesPerParameter, microbatches: [1] }],
  ];
  const change = changes.find(([, options]) => differs(request, options) && works(options));
  const card = CARD_GIB.find((gib) => works({}, withCard(cluster, gib * GIB)));
  if (card !== undefined) ways.push(`add one ${card} GiB device`);
  if (change !== undefined) ways.push(`use ${change[0]}`);
  if (request.wholeModels && works({ wholeModels: false })) ways.push('use a strategy that pipelines take, like diloco');
  return ways.length > 0 ? `${ways.join(' or ')}.` : 'Make the model smaller, or add several devices that reach each other directly.';
}

function differs(request: PlanRequest, change: Partial<PlanRequest>): boolean {
  return JSON.stringify({ ...request, ...change }) !== JSON.stringify(request);
}

/** One more device like the roomiest, beside it, with this much memory. */
function withCard(cluster: MeasuredCluster, memoryBytes: number): MeasuredCluster {
  const roomiest = cluster.devices.reduce((best, next) => (next.memoryBytes > best.memoryBytes ? next : best));
  const added: DeviceProfile = { ...roomiest, id: `${roomiest.id}+`, memoryBytes };
  const lans = cluster.lans.map((lan) => (lan.devices.includes(roomiest.id) ? { ...lan, devices: [...lan.devices, added.id] } : lan));
  return { ...cluster, devices: [...cluster.devices, added], lans };
}
