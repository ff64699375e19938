import { elementCount } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import type { Tape } from './tape.js';

/** What an eager stage holds for one microbatch between its passes. */
export interface MicrobatchStash {
  readonly samples: number;
  readonly input: tfjs.Tensor;
  /** Undefined until forward runs again, where only the input is kept. */
  tape: Tape | undefined;
  /** Then needed for it: the targets, and the parameters of that time. */
  readonly targets: tfjs.Tensor | undefined;
  readonly parameters: readonly tfjs.Tensor[];
  /** Between the halves of backward; on the first stage the gradient of the output, which waits for the weights' half. */
  halved: { readonly outputGradient: tfjs.Tensor | undefined } | undefined;
}

/** Memory that stashes hold. Parameters, which tapes and stashes share, do not count. */
export function bytesOf(stashes: Iterable<MicrobatchStash>, parameters: readonly tfjs.Tensor[]): number {
  const seen = new Set(parameters.map(dataOf));
  let bytes = 0;
  for (const { input, tape, targets, parameters: own, halved } of stashes) {
    for (const tensor of own) seen.add(dataOf(tensor));
    const tensors = [input, targets, halved?.outputGradient, ...(tape ? [...tape.saved, tape.output] : [])];
    for (const tensor of tensors) {
      if (tensor === undefined || tensor.isDisposed || seen.has(dataOf(tensor))) continue;
      seen.add(dataOf(tensor));
      bytes += elementCount(tensor.shape) * (tensor.dtype === 'bool' ? 1 : 4);
    }
  }
  return bytes;
}

export function freeStash({ input, tape, targets, parameters, halved }: MicrobatchStash): void {
  tape?.drop();
  [tape?.output, input, targets, halved?.outputGradient, ...parameters].forEach((tensor) => tensor?.dispose());
}

/** Tensors that are clones of one another share it. */
function dataOf(tensor: tfjs.Tensor): object {
  return (tensor as unknown as { dataId: object }).dataId;
}
