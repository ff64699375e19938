import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { LongtailError } from '@longtail/core';
import type { ModelSpec } from '@longtail/core';
import type { Block, Model, ModelFactory, ModelPurpose } from '../block.js';
import { checkOutput, inBlock, lineIn } from './module-error.js';
import { importTypeScript } from './typescript-module.js';

/** Loads a user's JavaScript or TypeScript module and calls its factory. Every error names the file. */
export async function moduleModel(spec: Extract<ModelSpec, { type: 'module' }>, purpose: ModelPurpose): Promise<Model> {
  const path = resolve(spec.path);
  if (!existsSync(path)) throw new LongtailError('the model module does not exist', { code: 'missing-file', where: path, hint: 'Paths in a job are relative to the folder of the job file.' });
  const factory = (await importModule(path)).default;
  if (typeof factory !== 'function') {
    throw new LongtailError('the model module has no factory', { code: 'invalid-file', where: path, hint: 'Write `export default (options, data) => ({ blocks, inputShape, inputType })`.' });
  }
  const model = await inFile(path, 'its factory failed', () => (factory as ModelFactory)(spec.options, purpose));
  checkStructure(path, model);
  return { ...model, blocks: model.blocks.map((block) => explained(block, path)) };
}

/** The block, with errors that say where in the module they come from, and whose results are what it says they are. */
function explained(block: Block, path: string): Block {
  const within = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw inBlock(block.name, error, path);
    }
  };
  return {
    ...block,
    outputShape: (inputShape) => within(() => block.outputShape(inputShape)),
    apply: (context, input, parameters) =>
      within(() => {
        const output = block.apply(context, input, parameters);
        checkOutput(output, [input.shape[0], ...block.outputShape(input.shape.slice(1))]);
        return output;
      }),
  };
}

function importModule(path: string): Promise<{ default?: unknown }> {
  return inFile(path, 'the model module does not load', async () => {
    if (/\.[cm]?ts$/.test(path)) return importTypeScript(path);
    return (await import(/* @vite-ignore */ pathToFileURL(path).href)) as { default?: unknown };
  });
}

async function inFile<T>(path: string, what: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof LongtailError && error.where !== undefined) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const line = error instanceof Error ? lineIn(path, error.stack) : undefined;
    throw new LongtailError(`${what}: ${reason}`, { code: 'invalid-file', where: line === undefined ? path : `${path}:${line}`, cause: error });
  }
}

/** What TypeScript would have checked, had the module been compiled against `ModelFactory`. */
function checkStructure(path: string, model: unknown): asserts model is Model {
  const fail = (message: string): never => {
    throw new LongtailError(message, { code: 'invalid-file', where: path, hint: 'See examples/custom-module for a complete one.' });
  };
  const { blocks, inputShape, inputType } = (model ?? {}) as Partial<Record<keyof Model, unknown>>;
  if (!Array.isArray(blocks)) return fail('the factory returned no list of blocks');
  if (!isShape(inputShape)) return fail('the factory returned no inputShape, such as [28, 28, 1]');
  if (inputType !== 'float32' && inputType !== 'int32') return fail("the factory returned no inputType: 'float32' or 'int32'");
  blocks.forEach((block: unknown, i) => {
    const { name, parameters, outputShape, apply } = (block ?? {}) as Record<string, unknown>;
    if (typeof name !== 'string' || name === '') return fail(`block ${i} has no name`);
    if (typeof apply !== 'function' || typeof outputShape !== 'function') return fail(`block ${name} needs functions apply and outputShape`);
    if (!Array.isArray(parameters)) return fail(`block ${name} has no list of parameters`);
    for (const parameter of parameters as Record<string, unknown>[]) {
      if (typeof parameter?.name !== 'string' || !isShape(parameter.shape)) return fail(`block ${name}: each parameter needs a name and a shape`);
      const kind = (parameter.init as { kind?: unknown } | undefined)?.kind;
      if (!['zeros', 'ones', 'normal', 'uniform', 'values'].includes(String(kind))) return fail(`block ${name}: parameter ${parameter.name} needs init: { kind: 'zeros' | 'ones' | 'normal' | 'uniform' | 'values' }`);
    }
  });
}

function isShape(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((extent) => Number.isInteger(extent) && extent > 0);
}
