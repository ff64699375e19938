import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const LAYER = `
import type { Block } from '@longtail/engine';

export enum Kind { Hidden = 'hidden', Output = 'output' }

/** tanh(x w), then a learnt gain. */
export function layer(kind: Kind, inputs: number, outputs: number): Block {
  return {
    name: kind,
    parameters: [
      { name: 'weights', shape: [inputs, outputs], init: { kind: 'normal', std: 1 / Math.sqrt(inputs) } },
      { name: 'gain', shape: [outputs], init: { kind: 'ones' } },
    ],
    outputShape: () => [outputs],
    apply: ({ tf }, input, [weights, gain]) => tf.mul(tf.tanh(tf.matMul(input as never, weights as never)), gain),
  };
}
`;

const MODEL = `
import { basename } from 'node:path';
import type { ModelFactory } from '@longtail/engine';
import { Kind, layer } from './layer.js';

const factory: ModelFactory = (options, data) => {
  const width = Number(options.width ?? basename('8'));
  const [inputs] = data.inputShape;
  return {
    inputShape: data.inputShape,
    inputType: 'float32',
    blocks: [layer(Kind.Hidden, inputs!, width), layer(Kind.Output, width, data.classes!)],
  };
};
export default factory;
`;

/** A user's model in two TypeScript files; returns the path of the one with the factory. */
export function writeModuleModel(folder: string): string {
  writeFileSync(join(folder, 'layer.ts'), LAYER);
  writeFileSync(join(folder, 'model.ts'), MODEL);
  return join(folder, 'model.ts');
}
