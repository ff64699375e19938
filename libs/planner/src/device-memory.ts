import type { MeasuredCluster, PlannedMemory, PlanRequest } from '@longtail/core';
import type { GroupDraft, StageDraft } from './group-draft.js';
import type { StageCosts } from './stage-costs.js';
import { chunksOf, heldWith } from './turns.js';

/** What stages take of devices' memory, and which fit. */
export class DeviceMemory {
  constructor(
    private readonly costs: StageCosts,
    private readonly cluster: MeasuredCluster,
    private readonly request: PlanRequest,
  ) {}

  /** Whether a device has room for the whole model. `microbatch`: @default the smallest, which decides it */
  holds(device: number, microbatch = Math.min(...this.request.microbatches)): boolean {
    const { memoryBytes, stashFactor } = this.cluster.devices[device]!;
    return this.costs.memoryBytes(0, this.costs.blocks, microbatch, 1, false, stashFactor) <= memoryBytes;
  }

  /** Whether blocks may be computed again. Who holds the whole model works in single passes, which keep nothing until later. */
  mayRecompute(start: number, end: number): boolean {
    return this.request.recompute !== 'never' && (start > 0 || end < this.costs.blocks);
  }

  /** Whether a stage with so many stages from it to the end must compute activations again for want of memory; undefined: it does not fit, even so. */
  recomputeFor(device: number, start: number, end: number, microbatch: number, toEnd: number): boolean | undefined {
    if (start === 0 && end === this.costs.blocks) return this.holds(device, microbatch) ? false : undefined;
    const inFlight = this.stashes(toEnd, microbatch);
    const { stashFactor } = this.cluster.devices[device]!;
    const bytesWith = (recompute: boolean) => this.costs.memoryBytes(start, end, microbatch, inFlight, recompute, stashFactor);
    return this.recomputeWhere(device, bytesWith(false), bytesWith(true));
  }

  /** The same for a stage of a group. */
  recomputeIn({ stages, microbatch }: GroupDraft, index: number): boolean | undefined {
    const { devices, start, end } = stages[index]!;
    if (chunksOf(stages) === 1) {
      const needs = devices.map((device) => this.recomputeFor(device, start, end, microbatch, stages.length - index));
      return needs.includes(undefined) ? undefined : needs.includes(true);
    }
    const [device] = devices as [number];
    const inFlight = this.inFlight({ stages, microbatch }, index);
    const held = heldWith(stages, index);
    const bytesWith = (recompute: boolean) => {
      const as = held.map((stage) => ({ ...stage, recompute }));
      return this.ofStages(device, as, microbatch, inFlight).total;
    };
    return this.recomputeWhere(device, bytesWith(false), bytesWith(true));
  }

  /** By what it takes with all activations kept, and with recompute. */
  private recomputeWhere(device: number, keptBytes: number, againBytes: number): boolean | undefined {
    const { memoryBytes } = this.cluster.devices[device]!;
    const { recompute } = this.request;
    if (recompute !== 'always' && keptBytes <= memoryBytes) return false;
    return recompute !== 'never' && againBytes <= memoryBytes ? true : undefined;
  }

  /** Stashes that a device of a stage holds at once, of all its stages, whatever it has room for. */
  inFlight({ stages, microbatch }: GroupDraft, index: number): number {
    const chunks = chunksOf(stages);
    if (chunks === 1) return stages.length === 1 ? 1 : this.stashes(stages.length - index, microbatch);
    const workers = stages.length / chunks;
    const rank = index % workers;
    // Interleaved 1F1B runs so many passes ahead (Narayanan et al. 2021), and then one forward.
    return Math.min(this.mostMicrobatches(microbatch) * chunks, (chunks - 1) * workers + 2 * (workers - 1 - rank) + 1);
  }

  /** Under 1F1B as many as there are stages from it to the end; GPipe keeps all, which may be the whole batch's: a group's share moves with its speed. */
  private stashes(toEnd: number, microbatch: number): number {
    return this.request.schedule === 'gpipe' ? this.mostMicrobatches(microbatch) : toEnd;
  }

  private mostMicrobatches(microbatch: number): number {
    return Math.ceil((this.request.local?.batch ?? this.request.batch) / microbatch);
  }

  /** Of a device for one stage. */
  ofStage(device: number, start: number, end: number, microbatch: number, inFlight: number, recompute: boolean): PlannedMemory {
    return this.costs.memory(start, end, microbatch, inFlight, recompute, this.cluster.devices[device]!.stashFactor);
  }

  /** … that holds all of these: any of them may have what is in flight. */
  ofStages(device: number, stages: readonly StageDraft[], microbatch: number, inFlight: number): PlannedMemory {
    return stages
      .map(({ start, end, recompute }) => this.ofStage(device, start, end, microbatch, inFlight, recompute))
      .reduce((sum, next) => {
        const [stash, workspace] = [Math.max(sum.stash, next.stash), Math.max(sum.workspace, next.workspace)];
        const [parameters, gradients] = [sum.parameters + next.parameters, sum.gradients + next.gradients];
        const [optimizer, anchor] = [sum.optimizer + next.optimizer, sum.anchor + next.anchor];
        const total = parameters + gradients + optimizer + anchor + stash + workspace;
        return { parameters, gradients, optimizer, anchor, stash, workspace, total };
      });
  }
}
