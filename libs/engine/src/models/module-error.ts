import { LongtailError } from '@longtail/core';
import type * as tf from '@tensorflow/tfjs';
import { shapeText } from './layers.js';
import { originalLine } from './typescript-module.js';

/** The line of a module that a stack leads to, innermost first. */
export function lineIn(path: string, stack = ''): number | undefined {
  const from = stack.indexOf(`${path}:`);
  const [, line, column] = /^(\d+):(\d+)/.exec(from < 0 ? '' : stack.slice(from + path.length + 1)) ?? [];
  if (line === undefined) return undefined;
  return originalLine(path, Number(line), Number(column)) ?? Number(line);
}

/** An error of a block's code, as its author needs it: with block, file and line. */
export function inBlock(block: string, thrown: unknown, path: string): LongtailError {
  if (thrown instanceof LongtailError && thrown.where !== undefined) return thrown;
  const { message, code, hint } = LongtailError.from(thrown, 'invalid-file');
  const line = thrown instanceof Error ? lineIn(path, thrown.stack) : undefined;
  return new LongtailError(`block ${block}: ${message}`, { code, where: line === undefined ? path : `${path}:${line}`, hint, cause: thrown });
}

/** Throws LongtailError `invalid-file` unless a block's result is what its outputShape says; `expected` begins with the batch. */
export function checkOutput(output: Pick<tf.Tensor, 'shape' | 'dtype'>, expected: readonly number[]): void {
  const { shape, dtype } = output;
  if (shape.join() === expected.join() && dtype === 'float32') return;
  const [batch, ...sample] = expected;
  const given = shape[0] === batch ? `a batch of ${shapeText(shape.slice(1))}` : shapeText(shape);
  throw new LongtailError(`its apply gives ${given}, ${dtype}; by its outputShape it is a batch of ${shapeText(sample)}, float32`, { code: 'invalid-file' });
}
