import { elementCount } from '@longtail/core';
import type * as tf from '@tensorflow/tfjs';
import { slid } from '../layers.js';
import { convolutionLayers } from './convolutions.js';
import { plain } from './layer.js';
import type { KerasLayer, LayerReader } from './layer.js';
import { kerasInitializer } from './initializers.js';
import { normLayers } from './norms.js';

type Builder = (layer: LayerReader) => KerasLayer;

const identity: Builder = ({ inputShape }) => plain(inputShape, (_, [x]) => x);

/** Reshapes a sample, the batch dimension in front kept. */
function reshaping(shape: readonly number[]): KerasLayer {
  return plain(shape, ({ tf }, [x]) => tf.reshape(x, [-1, ...shape]));
}

function activationLayer(layer: LayerReader, activation = layer.activation()): KerasLayer {
  return plain(layer.inputShape, (context, [x]) => activation(context, x));
}

function pooling(layer: LayerReader, pool: 'max' | 'average'): KerasLayer {
  layer.channelsLast();
  const [height, width, channels] = layer.shapeOfRank(3);
  const size = layer.pair('pool_size', 2);
  const stride = layer.node.config.strides == null ? size : layer.pair('strides', 2);
  const padding = layer.padding();
  return plain([slid(height, size[0], stride[0], padding), slid(width, size[1], stride[1], padding), channels], ({ tf, ops }, [x]) => {
    if (pool === 'average') return averagePool(tf, x as tf.Tensor4D, [...size], [...stride], padding);
    if (size[0] === size[1] && stride[0] === stride[1]) return ops.maxPool2d(x as tf.Tensor4D, size[0], stride[0], padding);
    return tf.maxPool(x as tf.Tensor4D, [...size], [...stride], padding);
  });
}

/**
 * Means over the pixels under the window, padding not counted. TF.js's gradient for padding `same` counts it (4.22, all but
 * TensorFlow's own): so the sum over a field of zeros is divided by the pixels it covers, whose gradient TF.js has right.
 */
function averagePool(tf_: typeof tf, x: tf.Tensor4D, size: [number, number], stride: [number, number], padding: 'same' | 'valid'): tf.Tensor {
  if (padding === 'valid') return tf_.avgPool(x, size, stride, 'valid');
  const margins = [0, 1].map((axis): [number, number] => {
    const extent = x.shape[axis + 1];
    const total = Math.max(0, (Math.ceil(extent / stride[axis]) - 1) * stride[axis] + size[axis] - extent);
    return [Math.floor(total / 2), Math.ceil(total / 2)];
  });
  const padded = (image: tf.Tensor4D): tf.Tensor4D => tf_.pad(image, [[0, 0], margins[0], margins[1], [0, 0]]);
  const covered = tf_.avgPool(padded(tf_.ones([1, x.shape[1], x.shape[2], 1])), size, stride, 'valid');
  return tf_.div(tf_.avgPool(padded(x), size, stride, 'valid'), covered);
}

/** Reduces all but the batch and the channels. */
function globalPooling(layer: LayerReader, rank: number, reduce: 'mean' | 'max'): KerasLayer {
  layer.channelsLast();
  const shape = layer.shapeOfRank(rank);
  const channels = shape[rank - 1];
  const keep = layer.get('keepdims', false);
  return plain(keep ? [...shape.slice(0, -1).map(() => 1), channels] : [channels], ({ tf }, [x]) =>
    tf[reduce](tf.reshape(x, [-1, elementCount(shape.slice(0, -1)), channels]), 1).reshape(keep ? [-1, ...shape.slice(0, -1).map(() => 1), channels] : [-1, channels]),
  );
}

/** Element by element over inputs of one shape. */
function merging(layer: LayerReader, merge: (tf_: typeof tf, a: tf.Tensor, b: tf.Tensor) => tf.Tensor): KerasLayer {
  const [first, ...others] = layer.inputShapes;
  if (others.some((shape) => shape.join() !== first.join())) throw layer.fail(`its inputs differ in shape: ${layer.inputShapes.map((shape) => `[${shape.join(', ')}]`).join(', ')}`);
  return plain(first, ({ tf }, inputs) => inputs.reduce((a, b) => merge(tf, a, b)));
}

function concatenation(layer: LayerReader): KerasLayer {
  const shape = [...layer.inputShape];
  const axis = layer.number('axis', -1);
  const position = axis < 0 ? shape.length + axis : axis - 1;
  shape[position] = layer.inputShapes.reduce((sum, input) => sum + input[position], 0);
  return plain(shape, ({ tf }, inputs) => tf.concat([...inputs], position + 1));
}

function dense(layer: LayerReader): KerasLayer {
  const { inputShape } = layer;
  const inputs = inputShape[inputShape.length - 1];
  const units = layer.number('units');
  const activation = layer.activation();
  const bias = layer.get('use_bias', true);
  const kernel = kerasInitializer(layer.node.config.kernel_initializer, inputs, units, { kind: 'uniform', limit: Math.sqrt(6 / (inputs + units)) });
  return {
    parameters: [{ name: 'kernel', shape: [inputs, units], init: kernel }, ...(bias ? [{ name: 'bias', shape: [units], init: { kind: 'zeros' } as const }] : [])],
    outputShape: [...inputShape.slice(0, -1), units],
    apply: (context, [x], [w, b]) => {
      const { tf, ops } = context;
      const y = activation(context, ops.linear(tf.reshape(x, [-1, inputs]), w as tf.Tensor2D, b as tf.Tensor1D | undefined));
      return inputShape.length === 1 ? y : tf.reshape(y, [-1, ...inputShape.slice(0, -1), units]);
    },
  };
}

function embedding(layer: LayerReader): KerasLayer {
  const [length] = layer.shapeOfRank(1);
  const shape = [layer.number('input_dim'), layer.number('output_dim')];
  const init = kerasInitializer(layer.node.config.embeddings_initializer, shape[0], shape[1], { kind: 'uniform', limit: 0.05 });
  return {
    parameters: [{ name: 'embeddings', shape, init }],
    outputShape: [length, shape[1]],
    apply: ({ tf, ops }, [ids], [table]) => tf.reshape(ops.embedding(table as tf.Tensor2D, tf.cast(tf.reshape(ids, [-1]), 'int32')), [-1, length, shape[1]]),
  };
}

function rectifier(layer: LayerReader): KerasLayer {
  const maximum = layer.get<number | null>('max_value', null);
  const slope = layer.get('negative_slope', 0);
  if (layer.get('threshold', 0) !== 0) throw layer.fail('a threshold is not supported');
  return plain(layer.inputShape, ({ tf, ops }, [x]) => {
    const y = slope === 0 ? ops.relu(x) : tf.leakyRelu(x, Number(slope));
    return maximum === null ? y : tf.minimum(y, maximum);
  });
}

function padding2d(layer: LayerReader): KerasLayer {
  layer.channelsLast();
  const [height, width, channels] = layer.shapeOfRank(3);
  const given = layer.get<number | readonly (number | readonly [number, number])[]>('padding', 1);
  const [rows, columns] = (typeof given === 'number' ? [given, given] : given).map((side): [number, number] => (typeof side === 'number' ? [side, side] : [side[0], side[1]]));
  return plain([height + rows[0] + rows[1], width + columns[0] + columns[1], channels], ({ tf }, [x]) => tf.pad(x, [[0, 0], rows, columns, [0, 0]]));
}

function permutation(layer: LayerReader): KerasLayer {
  const dims = layer.get<readonly number[]>('dims', []);
  return plain(dims.map((dim) => layer.inputShape[dim - 1]), ({ tf }, [x]) => tf.transpose(x, [0, ...dims]));
}

function reshape(layer: LayerReader): KerasLayer {
  const target = layer.get<readonly number[]>('target_shape', []);
  const known = target.reduce((product, extent) => (extent === -1 ? product : product * extent), 1);
  return reshaping(target.map((extent) => (extent === -1 ? elementCount(layer.inputShape) / known : extent)));
}

/** How each class of layer is built. Dropout and noise are off and batch norm keeps its statistics, as in inference. */
export const LAYERS: Readonly<Record<string, Builder>> = {
  Dense: dense,
  Embedding: embedding,
  ...convolutionLayers,
  ...normLayers,
  MaxPooling2D: (layer) => pooling(layer, 'max'),
  AveragePooling2D: (layer) => pooling(layer, 'average'),
  GlobalAveragePooling1D: (layer) => globalPooling(layer, 2, 'mean'),
  GlobalAveragePooling2D: (layer) => globalPooling(layer, 3, 'mean'),
  GlobalMaxPooling1D: (layer) => globalPooling(layer, 2, 'max'),
  GlobalMaxPooling2D: (layer) => globalPooling(layer, 3, 'max'),
  Flatten: ({ inputShape }) => reshaping([elementCount(inputShape)]),
  Reshape: reshape,
  Permute: permutation,
  ZeroPadding2D: padding2d,
  Activation: (layer) => activationLayer(layer),
  ReLU: rectifier,
  LeakyReLU: (layer) => {
    const slope = Number(layer.get('alpha', layer.get('negative_slope', 0.3)));
    return plain(layer.inputShape, ({ tf }, [x]) => tf.leakyRelu(x, slope));
  },
  ELU: (layer) => activationLayer(layer, ({ tf }, x) => tf.elu(x)),
  Softmax: (layer) => activationLayer(layer, ({ tf }, x) => tf.softmax(x)),
  Rescaling: (layer) => {
    const [scale, offset] = [layer.number('scale'), layer.number('offset', 0)];
    return plain(layer.inputShape, ({ tf }, [x]) => tf.add(tf.mul(x, scale), offset));
  },
  Dropout: identity,
  SpatialDropout1D: identity,
  SpatialDropout2D: identity,
  AlphaDropout: identity,
  GaussianDropout: identity,
  GaussianNoise: identity,
  Add: (layer) => merging(layer, (tf, a, b) => tf.add(a, b)),
  Subtract: (layer) => merging(layer, (tf, a, b) => tf.sub(a, b)),
  Multiply: (layer) => merging(layer, (tf, a, b) => tf.mul(a, b)),
  Maximum: (layer) => merging(layer, (tf, a, b) => tf.maximum(a, b)),
  Average: (layer) => {
    const sum = merging(layer, (tf, a, b) => tf.add(a, b));
    return { ...sum, apply: (context, inputs, parameters) => context.tf.div(sum.apply(context, inputs, parameters), inputs.length) };
  },
  Concatenate: concatenation,
};
