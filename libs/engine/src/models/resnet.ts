import type { ModelSpec } from '@longtail/core';
import type * as tf from '@tensorflow/tfjs';
import type { Block, BlockContext, Model, ParameterSpec } from '../block.js';
import { glorotUniform, heNormal } from '../initialize.js';
import { ONES, modelError, shapeText, slid, ZEROS } from './layers.js';

/**
 * Residual network (He et al. 2016, basic blocks, the 3×3 stem of its CIFAR variant) with group normalisation (Wu & He
 * 2018) in place of batch normalisation, whose statistics would tie the samples of a batch, and so workers, together.
 * Blocks: stem, each residual block, head (global average pooling and a dense layer).
 */
export function resnet(spec: Extract<ModelSpec, { type: 'resnet' }>): Model {
  const blocks: Block[] = [stemBlock(spec.input[2], spec.width)];
  let channels = spec.width;
  spec.depths.forEach((depth, group) => {
    const outputs = spec.width * 2 ** group;
    for (let i = 0; i < depth; i++) {
      blocks.push(residualBlock(`group${group}.block${i}`, channels, outputs, group > 0 && i === 0 ? 2 : 1));
      channels = outputs;
    }
  });
  blocks.push(headBlock(channels, spec.outputs));
  return { inputShape: spec.input, inputType: 'float32', blocks };
}

/** At most 32 groups as in the paper, each of at least two channels. */
function groupCount(channels: number): number {
  for (let groups = Math.min(32, Math.floor(channels / 2)); groups > 1; groups--) if (channels % groups === 0) return groups;
  return 1;
}

function convolution(name: string, size: number, inputs: number, outputs: number): ParameterSpec[] {
  return [
    { name: `${name}.kernel`, shape: [size, size, inputs, outputs], init: heNormal(size * size * inputs) },
    { name: `${name}.gain`, shape: [outputs], init: ONES },
    { name: `${name}.bias`, shape: [outputs], init: ZEROS },
  ];
}

/** Convolution and group norm: takes kernel, gain, bias. */
function normalizedConvolution({ ops }: BlockContext, input: tf.Tensor, [kernel, gain, bias]: readonly tf.Tensor[], stride: number): tf.Tensor4D {
  const y = ops.conv2d(input as tf.Tensor4D, kernel as tf.Tensor4D, undefined, stride, 'same');
  return ops.groupNorm(y, gain as tf.Tensor1D, bias as tf.Tensor1D, groupCount(y.shape[3]));
}

function stemBlock(inputs: number, outputs: number): Block {
  return {
    name: 'stem',
    parameters: convolution('convolution', 3, inputs, outputs),
    outputShape: ([height, width]) => [height, width, outputs],
    apply: (context, input, parameters) => context.ops.relu(normalizedConvolution(context, input, parameters, 1)),
  };
}

function residualBlock(name: string, inputs: number, outputs: number, stride: number): Block {
  const projects = inputs !== outputs || stride !== 1;
  return {
    name,
    parameters: [
      ...convolution('first', 3, inputs, outputs),
      ...convolution('second', 3, outputs, outputs),
      ...(projects ? convolution('shortcut', 1, inputs, outputs) : []),
    ],
    outputShape(inputShape) {
      const [height, width] = inputShape;
      if (height < stride || width < stride) throw modelError(`block ${name}: its input ${shapeText(inputShape)} cannot be halved again`, 'Use fewer groups in depths.');
      return [slid(height, 3, stride, 'same'), slid(width, 3, stride, 'same'), outputs];
    },
    apply(context, input, parameters) {
      const { tf, ops } = context;
      const first = ops.relu(normalizedConvolution(context, input, parameters.slice(0, 3), stride));
      const second = normalizedConvolution(context, first, parameters.slice(3, 6), 1);
      const shortcut = projects ? normalizedConvolution(context, input, parameters.slice(6, 9), stride) : input;
      return ops.relu(tf.add(second, shortcut));
    },
  };
}

function headBlock(inputs: number, outputs: number): Block {
  return {
    name: 'head',
    parameters: [
      { name: 'weights', shape: [inputs, outputs], init: glorotUniform(inputs, outputs) },
      { name: 'bias', shape: [outputs], init: ZEROS },
    ],
    outputShape: () => [outputs],
    apply({ tf, ops }, input, [weights, bias]) {
      const [batch, height, width] = input.shape;
      const pooled = tf.mean(tf.reshape(input, [batch, height! * width!, inputs]), 1) as tf.Tensor2D;
      return ops.linear(pooled, weights as tf.Tensor2D, bias as tf.Tensor1D);
    },
  };
}
