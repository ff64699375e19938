import {
  LongtailError,
  nodesOf,
  type GroupLayout,
  type Job,
  type JobStage,
  type JobWorker,
  type LayoutNode,
  type LayoutRequest,
  type RunLayout,
  type StagePlace,
} from '@longtail/core';

/** Microbatches for each worker of a pipeline: enough that the passes overlap. */
const MICROBATCHES_A_WORKER = 4;

/**
 * Lays a job out as it says itself, else every worker solo. A group stands once all its workers are there. After the run
 * has begun, a place whose worker is gone is taken by one who has no place.
 * @throws LongtailError `usage` for a layout that no fleet can fill
 */
export function explicitLayout(request: LayoutRequest): RunLayout {
  const { layout } = request.job.cluster;
  if (layout === undefined) return everybodySolo(request);
  const shapes = layout.map((stages) => ({ stages, ranges: rangesOf(stages) }));
  const standing = standingGroups(request, shapes);
  const seated = new Set(standing.flatMap((group) => (group === undefined ? [] : nodesOf(group))));
  const free = request.nodes.filter(({ node }) => !seated.has(node));
  const named = new Set(layout.flatMap(workersOf));
  const spares = request.begun ? free.filter((node) => !named.has(node.name) && !named.has(numberOf(request, node))) : [];
  const lacking: JobWorker[] = [];
  const groups = shapes.flatMap(({ stages, ranges }, i): readonly GroupLayout[] => {
    if (standing[i] !== undefined) return [standing[i]];
    const seats = seat(request, workersOf(stages), free, spares, lacking);
    if (seats === undefined) return [];
    // Who holds the whole model computes it in one pass, of which nothing is stashed.
    const again = stages.length > 1 && request.job.cluster.recompute === 'always' ? { recompute: true } : {};
    const places = stages.map(({ workers }, stage) => ({ blocks: ranges[stage]!, nodes: workers.map((worker) => seats.get(worker)!), ...again }));
    return [{ ...rhythm(request.job, seats.size), stages: places }];
  });
  const lacks = lacking.length === 0 ? undefined : `${lacking.length === 1 ? 'worker' : 'workers'} ${lacking.join(', ')}`;
  const reason = lacks === undefined ? 'as the job lays it out' : `as the job lays it out; it lacks ${lacks}`;
  return { groups, lacks, reason };
}

function everybodySolo({ nodes }: LayoutRequest): RunLayout {
  const groups = nodes.map(({ node }): GroupLayout => ({
    stages: [{ blocks: 'all', nodes: [node] }],
    microbatch: 1,
    schedule: 'capped-1f1b',
  }));
  return { groups, lacks: undefined, reason: 'every worker holds the whole model' };
}

interface Shape {
  readonly stages: readonly JobStage[];
  readonly ranges: readonly StagePlace['blocks'][];
}

/** Of a group, each once, in the order of the first stage that each holds. */
function workersOf(stages: readonly JobStage[]): readonly JobWorker[] {
  return [...new Set(stages.flatMap(({ workers }) => workers))];
}

/** For each group of the job the one that stands for it: the one of its own workers, else one of its shape that has substitutes. */
function standingGroups(request: LayoutRequest, shapes: readonly Shape[]): readonly (GroupLayout | undefined)[] {
  const unused = [...request.current];
  const claim = (fits: (group: GroupLayout) => boolean) => {
    const at = unused.findIndex(fits);
    return at < 0 ? undefined : unused.splice(at, 1)[0]!;
  };
  const own = shapes.map((shape) =>
    claim((group) => {
      const workers = workersOf(shape.stages);
      return sameShape(group, shape) && nodesOf(group).every((node, i) => isCalled(request, node, workers[i]!));
    }),
  );
  return shapes.map((shape, i) => own[i] ?? claim((group) => sameShape(group, shape)));
}

function isCalled(request: LayoutRequest, node: string, worker: JobWorker): boolean {
  const at = request.nodes.findIndex((candidate) => candidate.node === node);
  return typeof worker === 'string' ? request.nodes[at]?.name === worker : at + 1 === worker;
}

/** Nodes for the workers of a group, out of `free` and `spares`; undefined, with the workers that it lacks, when there are not enough. */
function seat(
  request: LayoutRequest,
  workers: readonly JobWorker[],
  free: LayoutNode[],
  spares: LayoutNode[],
  lacking: JobWorker[],
): ReadonlyMap<JobWorker, string> | undefined {
  const substitutes: LayoutNode[] = [];
  const missing: JobWorker[] = [];
  const seats = new Map<JobWorker, string>();
  const taken = new Set<string>();
  for (const worker of workers) {
    const own = free.find(({ node }) => isCalled(request, node, worker) && !taken.has(node));
    const node = own ?? spares.shift();
    if (node === undefined) missing.push(worker);
    else {
      seats.set(worker, node.node);
      taken.add(node.node);
    }
    if (node !== undefined && own === undefined) substitutes.push(node);
  }
  if (missing.length === 0) {
    free.splice(0, free.length, ...free.filter(({ node }) => !taken.has(node)));
    return seats;
  }
  spares.unshift(...substitutes);
  lacking.push(...missing);
  return undefined;
}

/** In the order of joining, from 1, among those who are here. */
function numberOf({ nodes }: LayoutRequest, { node }: LayoutNode): number {
  return nodes.findIndex((candidate) => candidate.node === node) + 1;
}

function rhythm({ train, sync, cluster }: Job, workers: number): Pick<GroupLayout, 'microbatch' | 'schedule'> {
  const share = sync.localBatch ?? train.batch / cluster.layout!.length;
  const microbatch = cluster.microbatch ?? Math.max(1, Math.floor(share / (workers * MICROBATCHES_A_WORKER)));
  return { microbatch, schedule: cluster.schedule ?? 'capped-1f1b' };
}

/** Blocks one behind the other, by their counts. */
function rangesOf(stages: readonly JobStage[]): readonly StagePlace['blocks'][] {
  let start = 0;
  return stages.map(({ workers, blocks }) => {
    if (blocks === undefined && stages.length === 1) return 'all';
    if (blocks === undefined || blocks < 1) {
      throw new LongtailError(`worker ${workers.join(', ')} has a stage of a pipeline without a count of blocks`, {
        code: 'usage',
        where: 'cluster.layout',
        hint: "Give each stage of a pipeline how many of the model's blocks it has.",
      });
    }
    const range = { start, end: start + blocks };
    start = range.end;
    return range;
  });
}

/** The same blocks, held by the same number of workers in the same way. */
function sameShape(group: GroupLayout, { stages, ranges }: Shape): boolean {
  const [nodes, workers] = [nodesOf(group), workersOf(stages)];
  const held = group.stages.map(({ blocks, nodes: holders }) => [blocks, holders.map((node) => nodes.indexOf(node))]);
  const named = stages.map((stage, i) => [ranges[i], stage.workers.map((worker) => workers.indexOf(worker))]);
  return JSON.stringify(held) === JSON.stringify(named);
}
