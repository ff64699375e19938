import { INPUT_GRADIENT_PART } from '@longtail/core';
import type { BlockTimes, DeviceProfile, ModelProfile, PlannedMemory, PlanRequest } from '@longtail/core';

/** Time of one microbatch in a stage, in milliseconds. */
export interface StageMs {
  readonly forwardMs: number;
  readonly backwardMs: number;
}

/** Prefix sums over blocks, calls aside: entry i holds blocks [0, i). And what the call of a stage takes. */
interface BlockSums {
  readonly forwardMs: Float64Array;
  readonly backwardMs: Float64Array;
  /** What the backward pass takes longer where it computes the activations again. */
  readonly recomputeMs: Float64Array;
  readonly call: StageMs;
}

const NO_CALL: StageMs = { forwardMs: 0, backwardMs: 0 };
const FLOAT_BYTES = 4;
/** Of a row of int8. */
const SCALE_BITS = 32;

/** What a stage of blocks [start, end) costs: values, bytes, milliseconds. */
export class StageCosts {
  readonly blocks: number;
  private readonly parameterTable: Float64Array;
  private readonly stashSums: Float64Array;
  private readonly flops: BlockSums;
  private readonly measured = new Map<DeviceProfile, Map<number, BlockSums>>();

  constructor(
    readonly profile: ModelProfile,
    readonly request: PlanRequest,
  ) {
    const { blocks } = profile;
    this.blocks = blocks.length;
    this.parameterTable = countParameters(profile);
    this.stashSums = sums(blocks.map((block) => block.stashBytes));
    const forwardMs = sums(blocks.map((block) => block.forwardFlops * 1000));
    this.flops = {
      forwardMs,
      recomputeMs: forwardMs,
      backwardMs: sums(blocks.map((block) => block.backwardFlops * 1000)),
      call: NO_CALL,
    };
  }

  /** May a stage begin here? */
  canCut(at: number): boolean {
    return at === 0 || at === this.blocks || (this.request.wholeModels !== true && this.profile.blocks[at - 1]!.cutAfter);
  }

  parameters(start: number, end: number): number {
    return this.parameterTable[start * (this.blocks + 1) + end]!;
  }

  /** Bytes of one sample that enter block `at`, as float32. */
  inputBytes(at: number): number {
    return at === 0 ? this.profile.inputBytes : this.profile.blocks[at - 1]!.outputBytes;
  }

  /** Bits of one sample that cross a cut before block `at`, each way. */
  cutBits(at: number): number {
    const { activationBits } = this.request;
    const values = this.inputBytes(at) / FLOAT_BYTES;
    const rows = values / (this.profile.blocks[at - 1]?.outputRow ?? values);
    return values * activationBits + (activationBits === 8 ? SCALE_BITS * rows : 0);
  }

  /** What the blocks compute: those of two stages take as long together as one stage of both. */
  workMs(device: DeviceProfile, start: number, end: number, microbatch: number, recompute: boolean): StageMs {
    const { forwardMs, backwardMs } = this.sumsOf(device, microbatch);
    const scale = scaleOf(device, microbatch);
    const forward = (forwardMs[end]! - forwardMs[start]!) * scale;
    const backward = (backwardMs[end]! - backwardMs[start]!) * scale;
    return { forwardMs: forward, backwardMs: recompute ? backward + this.recomputeMs(device, start, end, microbatch) : backward };
  }

  /** Of that, what computing the activations again takes. */
  recomputeMs(device: DeviceProfile, start: number, end: number, microbatch: number): number {
    const { recomputeMs } = this.sumsOf(device, microbatch);
    return (recomputeMs[end]! - recomputeMs[start]!) * scaleOf(device, microbatch);
  }

  /** Of the backward pass, recompute aside, what the gradient of the stage's input takes: at the measured size that is nearest from above. Nothing comes before the first stage. */
  inputGradientPart({ blockTimes = [] }: DeviceProfile, start: number, end: number, microbatch: number): number {
    const times = [...blockTimes].sort((a, b) => a.microbatch - b.microbatch);
    const nearest = times.find((entry) => entry.microbatch >= microbatch) ?? times.at(-1);
    const sum = (of: readonly number[] = []) => of.slice(start, end).reduce((all, ms) => all + ms, 0);
    const [inputMs, bothMs] = [sum(nearest?.inputGradientMs), sum(nearest?.backwardMs)];
    if (start === 0 && inputMs > 0) return 0;
    return inputMs > 0 && bothMs > 0 ? Math.min(1, inputMs / bothMs) : INPUT_GRADIENT_PART;
  }

  /** What the device computes: the blocks' work and the call. */
  stageMs(device: DeviceProfile, start: number, end: number, microbatch: number, recompute: boolean): StageMs {
    return plus(this.workMs(device, start, end, microbatch, recompute), this.sumsOf(device, microbatch).call);
  }

  /** For how long the device is taken up: a pass of a stage has to be handed over, a whole model passes through in one call. */
  passMs(device: DeviceProfile, start: number, end: number, microbatch: number, recompute: boolean): StageMs {
    const { handOverMs = 0, callMs = 0 } = device;
    const computing = this.stageMs(device, start, end, microbatch, recompute);
    if (start > 0 || end < this.blocks) return plus(computing, { forwardMs: handOverMs, backwardMs: handOverMs });
    return isMeasured(device) ? computing : plus(computing, { forwardMs: 0, backwardMs: callMs });
  }

  /**
   * Most bytes that a device of the stage holds, with the stash of `inFlight` microbatches, as a worker counts them: the
   * pass under way computes on as much again as a microbatch's stash.
   */
  memory(start: number, end: number, microbatch: number, inFlight: number, recompute: boolean, stashFactor = 1): PlannedMemory {
    const { stepsPerRound, stateBytesPerParameter, workspaceBytes, parameterVectors = 1, gradientVectors = 1 } = this.request;
    const values = this.parameters(start, end);
    const vector = FLOAT_BYTES * values;
    const optimizer = this.mayStep(start, end) ? stateBytesPerParameter * values : 0;
    const anchor = stepsPerRound > 1 ? vector : 0;
    const whole = microbatch * stashFactor * (this.stashSums[end]! - this.stashSums[start]!);
    const stash = inFlight * (recompute ? microbatch * this.inputBytes(start) : whole);
    const workspace = workspaceBytes + whole;
    const [parameters, gradients] = [parameterVectors * vector, gradientVectors * vector];
    const total = this.memoryBytes(start, end, microbatch, inFlight, recompute, stashFactor);
    return { parameters, gradients, optimizer, anchor, stash, workspace, total };
  }

  /** … in all: of many stages only that is asked. */
  memoryBytes(start: number, end: number, microbatch: number, inFlight: number, recompute: boolean, stashFactor = 1): number {
    const { stepsPerRound, stateBytesPerParameter, workspaceBytes, parameterVectors = 1, gradientVectors = 1 } = this.request;
    const values = this.parameters(start, end);
    const optimizerBytes = this.mayStep(start, end) ? stateBytesPerParameter : 0;
    const vectors = parameterVectors + gradientVectors + (stepsPerRound > 1 ? 1 : 0);
    const whole = microbatch * stashFactor * (this.stashSums[end]! - this.stashSums[start]!);
    const stash = inFlight * (recompute ? microbatch * this.inputBytes(start) : whole);
    return (FLOAT_BYTES * vectors + optimizerBytes) * values + stash + workspaceBytes + whole;
  }

  /** Whether a device with these blocks may have to run the optimizer. */
  mayStep(start: number, end: number): boolean {
    return this.request.optimizer !== 'server' || (start === 0 && end === this.blocks);
  }

  private sumsOf(device: DeviceProfile, microbatch: number): BlockSums {
    if (!isMeasured(device)) return this.flops;
    let sizes = this.measured.get(device);
    if (sizes === undefined) this.measured.set(device, (sizes = new Map()));
    let known = sizes.get(microbatch);
    if (known === undefined) sizes.set(microbatch, (known = interpolate(device, microbatch)));
    return known;
  }
}

function isMeasured({ blockTimes = [] }: DeviceProfile): boolean {
  return blockTimes.length > 0;
}

/** Of sums over a device's blocks to milliseconds of a microbatch. */
function scaleOf(device: DeviceProfile, microbatch: number): number {
  return isMeasured(device) ? 1 : microbatch / device.flopsPerSecond;
}

function plus(a: StageMs, b: StageMs): StageMs {
  return { forwardMs: a.forwardMs + b.forwardMs, backwardMs: a.backwardMs + b.backwardMs };
}

/** What is measured of each block, and the part of it that is the call of a stage. */
interface Part {
  readonly callMs: 'forwardCallMs' | 'backwardCallMs';
  of(times: BlockTimes): readonly number[];
}

const FORWARD: Part = { callMs: 'forwardCallMs', of: ({ forwardMs }) => forwardMs };
const BACKWARD: Part = { callMs: 'backwardCallMs', of: ({ backwardMs }) => backwardMs };
const RECOMPUTE: Part = { callMs: 'forwardCallMs', of: ({ forwardMs, recomputeMs = forwardMs }) => recomputeMs };

/** Between two measured sizes along the line, outside in proportion to the nearest, whose calls take as long. */
function interpolate(device: DeviceProfile, microbatch: number): BlockSums {
  const times = [...device.blockTimes!].sort((a, b) => a.microbatch - b.microbatch);
  const above = times.find((entry) => entry.microbatch >= microbatch) ?? times.at(-1)!;
  const below = times.findLast((entry) => entry.microbatch <= microbatch) ?? above;
  const alone = above.microbatch === below.microbatch;
  const part = alone ? 0 : (microbatch - below.microbatch) / (above.microbatch - below.microbatch);
  const between = (low: number, high: number) => low + part * (high - low);
  const call = {
    forwardMs: between(below.forwardCallMs ?? 0, above.forwardCallMs ?? 0),
    backwardMs: between(below.backwardCallMs ?? 0, above.backwardCallMs ?? 0),
  };
  const workOf = (entry: BlockTimes, { of, callMs }: Part) => {
    const call = entry[callMs] ?? 0;
    return of(entry).map((ms) => Math.max(0, ms - call) * (alone ? microbatch / entry.microbatch : 1));
  };
  const at = (part: Part) => {
    const high = workOf(above, part);
    return sums(workOf(below, part).map((ms, i) => between(ms, high[i]!)));
  };
  return { forwardMs: at(FORWARD), backwardMs: at(BACKWARD), recomputeMs: at(RECOMPUTE), call };
}

function sums(values: readonly number[]): Float64Array {
  const result = new Float64Array(values.length + 1);
  values.forEach((value, i) => (result[i + 1] = result[i]! + value));
  return result;
}

/** [start, end] → parameters of blocks [start, end), each tied one once. */
function countParameters({ blocks }: ModelProfile): Float64Array {
  const width = blocks.length + 1;
  const table = new Float64Array(width * width);
  for (let start = 0; start < blocks.length; start++) {
    const seen = new Set<string>();
    let count = 0;
    for (let end = start + 1; end <= blocks.length; end++) {
      const block = blocks[end - 1]!;
      count += block.parameters;
      for (const { name, parameters } of block.tied) {
        if (!seen.has(name)) count += parameters;
        seen.add(name);
      }
      table[start * width + end] = count;
    }
  }
  return table;
}
