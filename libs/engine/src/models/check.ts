import { elementCount } from '@longtail/core';
import type { Model, ModelPurpose } from '../block.js';
import { blockShapes } from '../stage-model.js';
import { modelError, shapeText } from './layers.js';

/** Throws unless the model takes what the data gives and predicts what the loss compares; names the shapes. */
export function checkModel(type: string, model: Model, purpose: ModelPurpose): void {
  checkBlocks(type, model);
  checkInput(type, model, purpose);
  const shapes = blockShapes(model);
  checkOutput(type, model.blocks[model.blocks.length - 1].name, shapes[shapes.length - 1], purpose);
}

function checkBlocks(type: string, model: Model): void {
  if (model.blocks.length === 0) throw modelError(`${type} has no blocks`);
  const names = new Set<string>();
  const tensors = new Set<string>();
  for (const block of model.blocks) {
    if (names.has(block.name)) throw modelError(`${type} has two blocks named ${block.name}`, 'Name each block once: parameters are addressed by it.');
    names.add(block.name);
    for (const name of block.uses ?? []) {
      if (!tensors.has(name)) throw modelError(`${type}: block ${block.name} uses ${name}, which no earlier block has`);
    }
    for (const { name } of block.parameters) {
      const fullName = `${block.name}.${name}`;
      if (tensors.has(fullName)) throw modelError(`${type} has two parameters named ${fullName}`);
      tensors.add(fullName);
    }
  }
}

function checkInput(type: string, model: Model, purpose: ModelPurpose): void {
  const sameShape = shapeText(model.inputShape) === shapeText(purpose.inputShape);
  if (!sameShape) {
    const kind = model.inputType === 'int32' ? 'tokens' : model.inputShape.length === 3 ? 'images' : 'inputs';
    throw modelError(`${type} expects ${kind} ${shapeText(model.inputShape)}, the data has ${shapeText(purpose.inputShape)}`, 'Make the sizes in the model section those of the data.');
  }
  if (model.inputType !== purpose.inputType) {
    throw modelError(`${type} expects ${model.inputType} inputs, the data has ${purpose.inputType}`, model.inputType === 'int32' ? 'Use a text data set.' : 'Use a model that takes tokens, such as gpt.');
  }
}

function checkOutput(type: string, block: string, output: readonly number[], { loss, targetShape, targetType, classes }: ModelPurpose): void {
  if (loss === 'mean-squared-error') {
    // A column of one value is a scalar.
    const flat = (shape: readonly number[]): string => shapeText(shape.filter((extent) => extent !== 1));
    if (flat(output) !== flat(targetShape)) throw modelError(`${type}: block ${block} puts out ${shapeText(output)}, the targets are ${shapeText(targetShape)}`, `Make the outputs of the model ${elementCount(targetShape)}.`);
    if (targetType !== 'float32') throw modelError(`mean-squared-error compares float32 targets, the data has ${targetType} labels`, 'Use loss: cross-entropy.');
    return;
  }
  if (targetType !== 'int32' || classes === undefined) throw modelError('cross-entropy needs labels, the data has numbers as targets', 'Use loss: mean-squared-error, or task: classification.');
  const [predicted, logits] = [output.slice(0, -1), output[output.length - 1]];
  if (shapeText(predicted) !== shapeText(targetShape)) throw modelError(`${type}: block ${block} predicts labels ${shapeText(predicted)} a sample, the data has ${shapeText(targetShape)}`);
  if (logits < classes) throw modelError(`${type}: block ${block} tells ${logits} classes apart, the data has ${classes}`, type === 'gpt' ? `Set vocabulary to at least ${classes}.` : `Set outputs to ${classes}.`);
}
