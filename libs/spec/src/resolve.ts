import type { DataSignature, Job, LossName, ModelSpec } from '@longtail/core';
import { elementCount, LongtailError } from '@longtail/core';
import type { JobDraft } from './job-file.js';
import type { ModelDraft } from './model.js';

/**
 * Fills in what the data decide: the sizes of the model and the loss.
 * Throws LongtailError `invalid-file` where the job says otherwise than the data, or the model cannot take such data.
 */
export function resolveJob(draft: JobDraft, data: DataSignature): Job {
  const loss = resolveLoss(draft.loss, data);
  return { ...draft, loss, model: resolveModel(draft.model, data, draft.data.type) };
}

function resolveLoss(loss: LossName | undefined, data: DataSignature): LossName {
  if (loss === 'cross-entropy' && data.classes === undefined) {
    throw mismatch(
      'loss',
      'cross-entropy needs labels, and the targets of these data are numbers',
      'set data.task to classification, or leave loss out',
    );
  }
  if (loss === 'mean-squared-error' && data.classes !== undefined) {
    throw mismatch(
      'loss',
      'mean-squared-error needs numbers, and the targets of these data are labels',
      'set data.task to regression, or leave loss out',
    );
  }
  return loss ?? (data.classes === undefined ? 'mean-squared-error' : 'cross-entropy');
}

function resolveModel(model: ModelDraft, data: DataSignature, dataType: string): ModelSpec {
  switch (model.type) {
    case 'mlp':
      requireNumbers(model.type, data, dataType);
      return {
        ...model,
        input: agreed('model.input', model.input, elementCount(data.inputShape)),
        outputs: resolveOutputs(model.outputs, data),
      };
    case 'cnn':
    case 'resnet':
      return { ...model, input: resolveImage(model, data, dataType), outputs: resolveOutputs(model.outputs, data) };
    case 'gpt':
      if (data.inputType !== 'int32' || data.classes === undefined) {
        throw mismatch(
          'model.type',
          `gpt learns from tokens, and ${dataType} has none`,
          'take data of type gutenberg or text, or another model',
        );
      }
      return {
        ...model,
        vocabulary: atLeast('model.vocabulary', model.vocabulary, data.classes),
        context: agreed('model.context', model.context, elementCount(data.inputShape)),
      };
    default:
      return model;
  }
}

function resolveImage(
  model: Extract<ModelDraft, { type: 'cnn' | 'resnet' }>,
  data: DataSignature,
  dataType: string,
): readonly [number, number, number] {
  requireNumbers(model.type, data, dataType);
  const [height, width, channels] = data.inputShape;
  if (data.inputShape.length !== 3) {
    throw mismatch(
      'model.type',
      `${model.type} takes images, and a sample of ${dataType} has the shape [${data.inputShape.join(', ')}]`,
      'take mlp, or data with images',
    );
  }
  const input = [height!, width!, channels!] as const;
  if (model.input !== undefined && model.input.some((size, i) => size !== input[i])) {
    throw mismatch(
      'model.input',
      `model.input is [${model.input.join(', ')}], but the data have [${input.join(', ')}]`,
      'leave it out: it follows the data',
    );
  }
  return input;
}

function requireNumbers(model: string, data: DataSignature, dataType: string): void {
  if (data.inputType === 'int32')
    throw mismatch('model.type', `${model} takes numbers, and ${dataType} has tokens`, 'take gpt, or other data');
}

function resolveOutputs(given: number | undefined, data: DataSignature): number {
  return data.classes === undefined
    ? agreed('model.outputs', given, elementCount(data.targetShape))
    : atLeast('model.outputs', given, data.classes);
}

function agreed(field: string, given: number | undefined, fromData: number): number {
  if (given !== undefined && given !== fromData)
    throw mismatch(field, `${field} is ${given}, but the data have ${fromData}`, 'leave it out: it follows the data');
  return fromData;
}

/** Room for more classes than occur is harmless, for fewer it is not. */
function atLeast(field: string, given: number | undefined, classes: number): number {
  if (given !== undefined && given < classes)
    throw mismatch(field, `${field} is ${given}, but the data have ${classes} classes`, 'leave it out: it follows the data');
  return given ?? classes;
}

function mismatch(where: string, message: string, hint: string): LongtailError {
  return new LongtailError(message, { code: 'invalid-file', where, hint });
}
