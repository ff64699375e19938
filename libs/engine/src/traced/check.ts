import { elementCount, LongtailError } from '@longtail/core';
import { z } from 'zod';
import type { Ops } from '../ops.js';
import { evaluate, type Data } from './batch-dependent.js';
import { TRACED_BATCHES, type Step, type TracedBlock, type TracedModel } from './program.js';
import { kernelShapes, OP_NAMES, opShape, type Attributes, type TensorSpec } from './shape-rules.js';
import { typedArray } from './replay.js';

const MOST_BLOCKS = 10_000;
const MOST_STEPS = 100_000;

const shape = z.array(z.int().min(1).max(2 ** 31 - 1)).max(16);
const text = z.string().min(1).max(200);
const count = z.int().min(0).max(MOST_STEPS);
const dtype = z.enum(['float32', 'int32', 'bool']);
const line = z.int().min(1).optional();
const key = z.string().regex(/^[a-zA-Z]\w*$/).max(40);
const base64 = z.base64();
const data: z.ZodType<Data> = z.lazy(() => z.union([z.number(), z.string().max(200), z.boolean(), z.null(), z.array(data).max(MOST_STEPS), z.record(key, data)]));

const parameter = z.strictObject({
  name: text,
  shape,
  trainable: z.boolean(),
  init: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.enum(['zeros', 'ones']) }),
    z.strictObject({ kind: z.literal('normal'), std: z.number() }),
    z.strictObject({ kind: z.literal('uniform'), limit: z.number() }),
    z.strictObject({ kind: z.literal('values'), values: base64 }),
  ]),
});
const argument = z.union([z.strictObject({ tensor: count }), z.number(), z.string().max(200), z.boolean(), z.null()]);
const step = z.discriminatedUnion('call', [
  z.strictObject({ call: z.literal('constant'), dtype, shape: z.array(z.int().min(0)).max(16), values: base64, line }),
  z.strictObject({ call: z.literal('kernel'), name: text, inputs: z.union([z.array(count).min(1), z.record(key, count)]), attributes: z.record(key, data), outputs: count, line }),
  z.strictObject({ call: z.literal('op'), name: z.enum(OP_NAMES), args: z.array(argument).max(16), line }),
]);
const block = z.strictObject({
  name: text,
  parameters: z.array(parameter).max(MOST_BLOCKS),
  uses: z.array(text).max(MOST_BLOCKS),
  inputShape: shape,
  outputShape: shape,
  cost: z.strictObject({ forwardFlops: z.number().min(0), stashValues: z.number().min(0) }).optional(),
  steps: z.array(step).max(MOST_STEPS),
  output: count,
});
const model = z.strictObject({ format: z.literal(1), inputShape: shape, inputType: z.enum(['float32', 'int32']), blocks: z.array(block).min(1).max(MOST_BLOCKS) });

/**
 * A trace as it comes from a process that nobody trusts: its form, that every step is one of those known and takes what is
 * there, the shapes of all that it makes, and that it starts with finite values. Throws LongtailError `invalid-file` naming
 * block and line in `file`.
 */
export function checkTraced(given: unknown, file: string): TracedModel {
  const parsed = model.safeParse(given);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new LongtailError(`what the module left is no model: ${path.join('.')}: ${message}`, { code: 'invalid-file', where: file });
  }
  const traced = parsed.data as TracedModel;
  const shapes = new Map<string, readonly number[]>();
  let current = traced.inputShape;
  for (const [i, one] of traced.blocks.entries()) {
    if (one.inputShape.join() !== current.join()) throw invalid(one, 'its input is not the output of the block before', file);
    for (const parameter of one.parameters) {
      shapes.set(`${one.name}.${parameter.name}`, parameter.shape);
      checkInit(one, parameter, file);
    }
    TRACED_BATCHES.forEach((samples) => checkSteps(one, i === 0 ? traced.inputType : 'float32', samples, shapes, file));
    current = one.outputShape;
  }
  return traced;
}

function checkInit(block: TracedBlock, { name, shape, init }: TracedBlock['parameters'][number], file: string): void {
  if (init.kind !== 'values') return;
  const bytes = Buffer.from(init.values, 'base64').length;
  if (bytes !== elementCount(shape) * Float32Array.BYTES_PER_ELEMENT) throw invalid(block, `parameter ${name} has ${bytes / 4} values, its shape ${elementCount(shape)}`, file);
  if (!typedArray('float32', init.values).every(Number.isFinite)) throw invalid(block, `parameter ${name} begins with values that are not finite`, file);
}

function checkSteps(block: TracedBlock, inputType: TensorSpec['dtype'], samples: number, shapes: ReadonlyMap<string, readonly number[]>, file: string): void {
  const { parameters, uses, inputShape, outputShape, steps, output } = block;
  const weights = [...parameters.map((parameter) => parameter.shape), ...uses.map((name) => shapes.get(name) ?? [])];
  const values: TensorSpec[] = [{ shape: [samples, ...inputShape], dtype: inputType }, ...weights.map((shape): TensorSpec => ({ shape, dtype: 'float32' }))];
  for (const step of steps) {
    try {
      values.push(...inferred(step, values, samples));
    } catch (error) {
      throw invalid(block, (error as Error).message, file, step.line);
    }
  }
  const result = values[output];
  if (result?.dtype !== 'float32' || result.shape.join() !== [samples, ...outputShape].join()) throw invalid(block, `its output is not of the shape [batch, ${outputShape.join(', ')}]`, file);
}

function inferred(step: Step, values: readonly TensorSpec[], samples: number): readonly TensorSpec[] {
  const value = (i: number): TensorSpec => {
    if (i < values.length) return values[i];
    throw new Error(`a step takes the value ${i}, which is not there yet`);
  };
  if (step.call === 'constant') {
    const bytes = Buffer.from(step.values, 'base64').length;
    if (bytes !== elementCount(step.shape) * (step.dtype === 'bool' ? 1 : 4)) throw new Error('a constant does not fill its shape');
    return [{ shape: step.shape, dtype: step.dtype }];
  }
  if (step.call === 'op') {
    const args = step.args.map((arg) => (arg === null ? undefined : typeof arg === 'object' && 'tensor' in arg ? value(arg.tensor) : evaluate(arg as Data, samples)));
    return [opShape(step.name as keyof Ops, args)];
  }
  const named = Object.entries(step.inputs as Record<string, number>).map(([name, i]) => [name, value(i)] as const);
  const outputs = [kernelShapes(step.name, Object.fromEntries(named), evaluate(step.attributes, samples) as Attributes)].flat();
  if (outputs.length !== step.outputs) throw new Error(`${step.name} gives ${outputs.length} results, not ${step.outputs}`);
  return outputs;
}

function invalid(block: TracedBlock, message: string, file: string, line?: number): LongtailError {
  return new LongtailError(`block ${block.name}: ${message}`, { code: 'invalid-file', where: line === undefined ? file : `${file}:${line}` });
}
