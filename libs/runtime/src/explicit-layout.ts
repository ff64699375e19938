import { LongtailError, type GroupLayout, type Job, type JobStage, type LayoutNode, type LayoutRequest, type RunLayout } from '@longtail/core';

/** Microbatches for each stage of a pipeline: enough that the passes overlap. */
const MICROBATCHES_A_STAGE = 4;

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
  const seated = new Set(standing.flatMap((group) => group?.stages.map(({ node }) => node) ?? []));
  const free = request.nodes.filter(({ node }) => !seated.has(node));
  const named = new Set(layout.flat().map(({ worker }) => worker));
  const spares = request.begun ? free.filter((node) => !named.has(node.name) && !named.has(numberOf(request, node))) : [];
  const lacking: (string | number)[] = [];
  const groups = shapes.flatMap(({ stages, ranges }, i): readonly GroupLayout[] => {
    if (standing[i] !== undefined) return [standing[i]];
    const nodes = seat(request, stages, free, spares, lacking);
    if (nodes === undefined) return [];
    return [{ ...rhythm(request.job, stages.length), stages: nodes.map((node, stage) => ({ node, blocks: ranges[stage]! })) }];
  });
  const lacks = lacking.length === 0 ? undefined : `${lacking.length === 1 ? 'worker' : 'workers'} ${lacking.join(', ')}`;
  const reason = lacks === undefined ? 'as the job lays it out' : `as the job lays it out; it lacks ${lacks}`;
  return { groups, lacks, reason };
}

function everybodySolo({ nodes }: LayoutRequest): RunLayout {
  const groups = nodes.map(({ node }): GroupLayout => ({ stages: [{ node, blocks: 'all' }], microbatch: 1, schedule: 'capped-1f1b' }));
  return { groups, lacks: undefined, reason: 'every worker holds the whole model' };
}

interface Shape {
  readonly stages: readonly JobStage[];
  readonly ranges: readonly GroupLayout['stages'][number]['blocks'][];
}

/** For each group of the job the one that stands for it: the one of its own workers, else one of its shape that has substitutes. */
function standingGroups(request: LayoutRequest, shapes: readonly Shape[]): readonly (GroupLayout | undefined)[] {
  const unused = [...request.current];
  const claim = (fits: (group: GroupLayout) => boolean) => {
    const at = unused.findIndex(fits);
    return at < 0 ? undefined : unused.splice(at, 1)[0]!;
  };
  const own = shapes.map(({ stages, ranges }) =>
    claim((group) => sameRanges(group, ranges) && group.stages.every(({ node }, i) => isCalled(request, node, stages[i]!.worker))),
  );
  return shapes.map(({ ranges }, i) => own[i] ?? claim((group) => sameRanges(group, ranges)));
}

function isCalled(request: LayoutRequest, node: string, worker: string | number): boolean {
  const at = request.nodes.findIndex((candidate) => candidate.node === node);
  return typeof worker === 'string' ? request.nodes[at]?.name === worker : at + 1 === worker;
}

/** Nodes for the stages of a group, out of `free` and `spares`; undefined, with the workers that it lacks, when there are not enough. */
function seat(
  request: LayoutRequest,
  stages: readonly JobStage[],
  free: LayoutNode[],
  spares: LayoutNode[],
  lacking: (string | number)[],
): readonly string[] | undefined {
  const substitutes: LayoutNode[] = [];
  const missing: (string | number)[] = [];
  const nodes = stages.map(({ worker }) => {
    const own = free.find(({ node }) => isCalled(request, node, worker));
    const node = own ?? spares.shift();
    if (node === undefined) missing.push(worker);
    else if (own === undefined) substitutes.push(node);
    return node?.node ?? '';
  });
  if (missing.length === 0) {
    for (const node of nodes) free.splice(0, free.length, ...free.filter((candidate) => candidate.node !== node));
    return nodes;
  }
  spares.unshift(...substitutes);
  lacking.push(...missing);
  return undefined;
}

/** In the order of joining, from 1, among those who are here. */
function numberOf({ nodes }: LayoutRequest, { node }: LayoutNode): number {
  return nodes.findIndex((candidate) => candidate.node === node) + 1;
}

function rhythm({ train, cluster }: Job, stages: number): Pick<GroupLayout, 'microbatch' | 'schedule'> {
  const groups = cluster.layout!.length;
  const microbatch = cluster.microbatch ?? Math.max(1, Math.floor(train.batch / (groups * stages * MICROBATCHES_A_STAGE)));
  return { microbatch, schedule: cluster.schedule ?? 'capped-1f1b' };
}

/** Blocks one behind the other, by their counts. */
function rangesOf(stages: readonly JobStage[]): readonly GroupLayout['stages'][number]['blocks'][] {
  let start = 0;
  return stages.map(({ worker, blocks }) => {
    if (blocks === undefined && stages.length === 1) return 'all';
    if (blocks === undefined || blocks < 1) {
      throw new LongtailError(`worker ${worker} has a stage of a pipeline without a count of blocks`, {
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

function sameRanges({ stages }: GroupLayout, ranges: readonly GroupLayout['stages'][number]['blocks'][]): boolean {
  return stages.length === ranges.length && stages.every(({ blocks }, i) => JSON.stringify(blocks) === JSON.stringify(ranges[i]));
}
