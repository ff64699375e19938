import { readFile } from 'node:fs/promises';
import { LongtailError } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import type { Block, BlockContext, Initializer, Model } from '../block.js';
import { evaluate } from './batch-dependent.js';
import type { Argument, Step, TracedBlock, TracedModel, TracedParameter } from './program.js';

/** The model whose trace lies in a file: one that was checked before it was written. Errors name `file`, the module. */
export async function readTraced(path: string, file: string): Promise<Model> {
  return replayedModel(JSON.parse(await readFile(path, 'utf8')) as TracedModel, file);
}

/** The model that a checked trace stands for: its blocks do what was written down. Errors name `file`, the module. */
function replayedModel({ inputShape, inputType, blocks }: TracedModel, file: string): Model {
  return { inputShape, inputType, blocks: blocks.map((block) => replayedBlock(block, file)) };
}

function replayedBlock({ name, parameters, uses, outputShape, cost, steps, output }: TracedBlock, file: string): Block {
  return {
    name,
    parameters: parameters.map((parameter) => ({ ...parameter, init: initializer(parameter.init) })),
    uses,
    outputShape: () => outputShape,
    ...(cost && { cost: () => cost }),
    apply(context, input, weights) {
      const values = [input, ...weights];
      for (const step of steps) {
        try {
          values.push(...perform(context, step, values, input.shape[0]));
        } catch (error) {
          const { message, code } = LongtailError.from(error, 'invalid-file');
          throw new LongtailError(`block ${name}: ${message}`, { code, where: step.line === undefined ? file : `${file}:${step.line}`, cause: error });
        }
      }
      return values[output];
    },
  };
}

function perform({ tf, ops }: BlockContext, step: Step, values: readonly tfjs.Tensor[], samples: number): readonly tfjs.Tensor[] {
  switch (step.call) {
    case 'constant':
      return [tf.tensor(typedArray(step.dtype, step.values), [...step.shape], step.dtype)];
    case 'kernel': {
      const { inputs, attributes, name } = step;
      const tensors = Array.isArray(inputs) ? inputs.map((value: number) => values[value]) : Object.fromEntries(Object.entries(inputs).map(([key, value]) => [key, values[value as number]]));
      return [tf.engine().runKernel<tfjs.Tensor | tfjs.Tensor[]>(name, tensors as tfjs.NamedTensorMap, evaluate(attributes, samples) as tfjs.NamedAttrMap)].flat();
    }
    case 'op': {
      const call = ops[step.name as keyof typeof ops] as (...args: readonly unknown[]) => tfjs.Tensor;
      return [call(...step.args.map((arg) => argument(arg, values, samples)))];
    }
  }
}

function argument(arg: Argument, values: readonly tfjs.Tensor[], samples: number): unknown {
  if (arg === null) return undefined;
  return typeof arg === 'object' && 'tensor' in arg ? values[arg.tensor] : evaluate(arg, samples);
}

function initializer(init: TracedParameter['init']): Initializer {
  return init.kind === 'values' ? { kind: 'values', values: typedArray('float32', init.values) as Float32Array } : init;
}

/** Of base64. */
export function typedArray(dtype: 'float32' | 'int32' | 'bool', base64: string): Float32Array | Int32Array | Uint8Array {
  const { buffer } = Uint8Array.from(Buffer.from(base64, 'base64'));
  return dtype === 'float32' ? new Float32Array(buffer) : dtype === 'int32' ? new Int32Array(buffer) : new Uint8Array(buffer);
}
