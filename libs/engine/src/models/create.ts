import { elementCount } from '@longtail/core';
import type { ModelSpec } from '@longtail/core';
import type { Model, ModelPurpose } from '../block.js';
import { checkModel } from './check.js';
import { cnn } from './cnn.js';
import { gpt } from './gpt.js';
import { keras } from './keras/index.js';
import { mlp } from './mlp.js';
import { moduleModel } from './module.js';
import { resnet } from './resnet.js';
import { readTraced } from '../traced/replay.js';

/**
 * Makes the blocks of a model and checks them against the data.
 * Throws LongtailError when the model does not fit the data (naming block and shapes) or its file cannot be used (naming the file).
 */
export async function createModel(spec: ModelSpec, purpose: ModelPurpose): Promise<Model> {
  const model = await makeBlocks(spec, purpose);
  checkModel(spec.type, model, purpose);
  return model;
}

async function makeBlocks(spec: ModelSpec, purpose: ModelPurpose): Promise<Model> {
  switch (spec.type) {
    case 'mlp':
      // Images and tables alike are flattened, as long as the count is right.
      return mlp(spec, elementCount(purpose.inputShape) === spec.input ? purpose.inputShape : [spec.input]);
    case 'cnn':
      return cnn(spec);
    case 'resnet':
      return resnet(spec);
    case 'gpt':
      return gpt(spec);
    case 'keras':
      return keras(spec, purpose);
    case 'module':
      return spec.traced === undefined ? moduleModel(spec, purpose) : readTraced(spec.traced, spec.path);
  }
}
