import type { VectorRange } from './tensor.js';

/** A model as a job names it: a kind and its sizes. `libs/engine` turns it into an ordered list of blocks. */
export type ModelSpec =
  | { readonly type: 'mlp'; readonly input: number; readonly hidden: readonly number[]; readonly outputs: number }
  | {
      readonly type: 'cnn';
      /** [height, width, channels] */
      readonly input: readonly [number, number, number];
      /** Output channels of each convolution. */
      readonly channels: readonly number[];
      readonly kernel: number;
      /** `same` keeps height and width, `valid` shrinks them. */
      readonly padding: 'same' | 'valid';
      /** Max-pool 2×2 after each convolution, or once after the last. */
      readonly pool: 'each' | 'last';
      readonly hidden: readonly number[];
      readonly outputs: number;
    }
  | {
      readonly type: 'resnet';
      readonly input: readonly [number, number, number];
      /** Channels of the first group; doubled in each that follows. */
      readonly width: number;
      /** Residual blocks in each group. */
      readonly depths: readonly number[];
      readonly outputs: number;
    }
  | {
      readonly type: 'gpt';
      readonly vocabulary: number;
      /** Tokens a sample. */
      readonly context: number;
      readonly width: number;
      readonly layers: number;
      readonly heads: number;
      /** Inner width of SwiGLU. */
      readonly feedForward: number;
    }
  | {
      readonly type: 'keras';
      /** `model.json` of a tf.LayersModel (topology, with weights beside it when it has any). */
      readonly path: string;
      /** Start from the weights of the file, or from fresh ones. */
      readonly weights: 'file' | 'fresh';
    }
  | {
      readonly type: 'module';
      /** A JavaScript or TypeScript module whose default export makes a list of blocks from `options`. */
      readonly path: string;
      readonly options: Readonly<Record<string, unknown>>;
      /** What the module left when it ran confined: its blocks as data, in a file. The module itself is then not loaded. */
      readonly traced?: string;
    };

/** What the model learns to predict; decides loss and accuracy. */
export type LossName = 'cross-entropy' | 'mean-squared-error';

/** Blocks [start, end) of a model. */
export interface BlockRange {
  readonly start: number;
  readonly end: number;
}

/** Where one tensor lies in a stage's flat float32 vector. */
export interface ParameterSlot {
  readonly name: string;
  readonly shape: readonly number[];
  /** In values, not bytes. */
  readonly offset: number;
  readonly length: number;
  /** False for what no gradient reaches (frozen statistics of an import). */
  readonly trainable: boolean;
}

/** Name, shape and offset of each tensor in a stage's flat vector, in the order of the blocks. */
export interface ParameterLayout {
  readonly slots: readonly ParameterSlot[];
  /** Values in all. */
  readonly length: number;
}

/** Whether a slot has values in the range, where there is one. */
export function touches({ offset, length }: ParameterSlot, within: VectorRange | undefined): boolean {
  return within === undefined || (offset < within.start + within.length && within.start < offset + length);
}

/** Lays tensors one behind the other. */
export function layOut(tensors: readonly { name: string; shape: readonly number[]; trainable?: boolean }[]): ParameterLayout {
  let offset = 0;
  const slots = tensors.map(({ name, shape, trainable = true }) => {
    const length = shape.reduce((product, dimension) => product * dimension, 1);
    const slot = { name, shape, offset, length, trainable };
    offset += length;
    return slot;
  });
  return { slots, length: offset };
}

/**
 * The layouts of several stages, in order, as one: each parameter where it is met first. Parameters tied over a border have
 * a slot in both stages under the same name, and one here.
 */
export function joinLayouts(stages: readonly ParameterLayout[]): ParameterLayout {
  const [only] = stages;
  if (stages.length === 1) return only!;
  const slots = new Map<string, ParameterSlot>();
  let length = 0;
  for (const slot of stages.flatMap((stage) => stage.slots)) {
    if (slots.has(slot.name)) continue;
    slots.set(slot.name, { ...slot, offset: length });
    length += slot.length;
  }
  return { slots: [...slots.values()], length };
}

/** Equal for layouts that may exchange flat vectors, as text: two workers of a run must agree on it. */
export function layoutSignature(layout: ParameterLayout): string {
  return layout.slots.map((slot) => `${slot.name}[${slot.shape.join(',')}]${slot.trainable ? '' : '!'}`).join(';');
}
