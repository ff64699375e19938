import type { DataSignature, LossName, ModelSpec } from '@longtail/core';

/**
 * The data that a model expects, where its spec alone says so: enough to build blocks that read none of it. Undefined for
 * models from files, which are made for the data.
 */
export function signatureOf(model: ModelSpec, loss: LossName): DataSignature | undefined {
  switch (model.type) {
    case 'mlp':
      return { inputShape: [model.input], inputType: 'float32', ...targetsOf(model.outputs, loss) };
    case 'cnn':
    case 'resnet':
      return { inputShape: model.input, inputType: 'float32', ...targetsOf(model.outputs, loss) };
    case 'gpt': {
      const shape = [model.context];
      return { inputShape: shape, inputType: 'int32', targetShape: shape, targetType: 'int32', classes: model.vocabulary };
    }
    default:
      return undefined;
  }
}

function targetsOf(outputs: number, loss: LossName): Pick<DataSignature, 'targetShape' | 'targetType' | 'classes'> {
  if (loss === 'cross-entropy') return { targetShape: [], targetType: 'int32', classes: outputs };
  return { targetShape: [outputs], targetType: 'float32', classes: undefined };
}
