import { joinLayouts, LongtailError, type BlockRange, type HostTensor, type ParameterLayout } from '@longtail/core';
import type { EnginePass, VirtualBlocks, VirtualPass } from './blocks.js';

interface Stashed {
  readonly pass: VirtualPass | EnginePass;
  readonly samples: number;
  outputGradient: HostTensor | undefined;
}

class VirtualStage {
  readonly layout: ParameterLayout;
  readonly parameters: Float32Array;
  readonly gradient: Float32Array;
  readonly stash = new Map<number, Stashed>();
  /** That went through, since the gradient was taken. */
  samples = 0;

  constructor(
    readonly range: BlockRange,
    blocks: VirtualBlocks,
  ) {
    this.layout = blocks.layout(range);
    this.parameters = new Float32Array(this.layout.length);
    this.gradient = new Float32Array(this.layout.length);
  }
}

/** The stages that a virtual device holds. Parameters and gradients go in and out as one vector, with what stages share in it once. */
export class VirtualStages {
  readonly layouts: readonly ParameterLayout[];
  private readonly held: readonly VirtualStage[];
  private readonly offsets: ReadonlyMap<string, number>;

  /** `room`: microbatches between forward and backward, over all stages. */
  constructor(
    private readonly blocks: VirtualBlocks,
    private readonly ranges: readonly BlockRange[],
    private readonly room: number,
  ) {
    const beyond = ranges.find(({ end }) => end > blocks.count);
    if (beyond !== undefined) {
      throw new LongtailError(`blocks ${beyond.start} to ${beyond.end} do not exist: the model has ${blocks.count}`, { code: 'usage' });
    }
    this.held = ranges.map((range) => new VirtualStage(range, blocks));
    this.layouts = this.held.map(({ layout }) => layout);
    this.offsets = new Map(joinLayouts(this.layouts).slots.map(({ name, offset }) => [name, offset]));
  }

  /** Of the whole model's work. */
  fraction(stage: number): number {
    const range = this.ranges[stage]!;
    return this.blocks.work?.(range) ?? (range.end - range.start) / this.blocks.count;
  }

  initial(seed: number, out: Float32Array): void {
    for (const { range, layout } of this.held) {
      const values = this.blocks.initial(range, seed);
      for (const { name, offset, length } of layout.slots) out.set(values.subarray(offset, offset + length), this.offsets.get(name));
    }
  }

  load(values: Float32Array): void {
    for (const { layout, parameters } of this.held) {
      for (const { name, offset, length } of layout.slots) {
        const from = this.offsets.get(name)!;
        parameters.set(values.subarray(from, from + length), offset);
      }
    }
  }

  /** Throws when there is no room for one more. */
  checkRoom(): void {
    const open = this.held.reduce((sum, { stash }) => sum + stash.size, 0);
    if (open >= this.room) throw new LongtailError(`no room for more than ${this.room} microbatches`, { code: 'refused' });
  }

  async forward(stage: number, microbatch: number, samples: Int32Array, input: HostTensor | undefined): Promise<VirtualPass | EnginePass> {
    const { range, parameters, stash } = this.held[stage]!;
    const pass = await this.blocks.forward(range, parameters, samples, input);
    stash.set(microbatch, { pass, samples: samples.length, outputGradient: undefined });
    return pass;
  }

  async infer(stage: number, samples: Int32Array, input: HostTensor | undefined): Promise<VirtualPass | EnginePass> {
    const { range, parameters } = this.held[stage]!;
    const pass = await this.blocks.forward(range, parameters, samples, input);
    drop(pass);
    return pass;
  }

  samplesOf(stage: number, microbatch: number): number {
    const stashed = this.held[stage]!.stash.get(microbatch);
    if (stashed === undefined) throw new Error(`backward of microbatch ${microbatch}, of which nothing is stashed`);
    return stashed.samples;
  }

  async backward(op: 'B' | 'I' | 'W', stage: number, microbatch: number, outputGradient: HostTensor | undefined): Promise<HostTensor | undefined> {
    const held = this.held[stage]!;
    const stashed = held.stash.get(microbatch)!;
    if (op === 'I') stashed.outputGradient = outputGradient;
    const gradient = op === 'W' ? stashed.outputGradient : outputGradient;
    const inputGradient = await stashed.pass.backward(gradient, op === 'I' ? undefined : held.gradient);
    if (op === 'I') return inputGradient;
    held.stash.delete(microbatch);
    held.samples += stashed.samples;
    return op === 'W' ? undefined : inputGradient;
  }

  /** Adds the gradient sums up into `out`, which is overwritten; samples that went through each stage. */
  takeGradient(out: Float32Array): number {
    out.fill(0);
    for (const { layout, gradient } of this.held) {
      for (const { name, offset, length } of layout.slots) {
        const at = this.offsets.get(name)!;
        for (let i = 0; i < length; i++) out[at + i]! += gradient[offset + i]!;
      }
    }
    const counts = new Set(this.held.map(({ samples }) => samples));
    if (counts.size > 1) throw new Error(`unlike numbers of samples went through the stages: ${[...counts].join(', ')}`);
    this.drop();
    return [...counts][0]!;
  }

  drop(): void {
    for (const held of this.held) {
      for (const { pass } of held.stash.values()) drop(pass);
      held.stash.clear();
      held.gradient.fill(0);
      held.samples = 0;
    }
  }
}

function drop(pass: VirtualPass | EnginePass): void {
  if ('drop' in pass) pass.drop();
}
