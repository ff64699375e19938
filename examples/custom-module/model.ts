import type { Block, Model, ModelFactory } from '@longtail/engine';

/**
 * An MLP-Mixer (Tolstikhin et al. 2021) in fifty lines: images are cut into patches, and dense layers mix first the
 * patches, then the channels. Shows all that a model needs: blocks with parameters, shapes, and a pure `apply`.
 * As `apply` depends on shapes only, workers can run the module confined and keep what it does as data.
 * A block is the unit that Longtail may cut a model by. B = batch, P = patches, C = channels.
 */
const mixer: ModelFactory = (options, data): Model => {
  const { patch, width, depth } = options as { patch: number; width: number; depth: number };
  const [height = 0, columns = 0] = data.inputShape;
  const patches = (height / patch) * (columns / patch);
  const mixers = Array.from({ length: depth }, (_, i) => mix(`mix${i}`, patches, width));
  return {
    inputShape: data.inputShape,
    inputType: 'float32',
    blocks: [
      embed('embed', patch, data.inputShape[2] ?? 1, patches, width),
      ...mixers,
      classify('classify', patches, width, data.classes ?? 1),
    ],
  };
};

export default mixer;

/** [B, h, w, c] → [B, P, C]: a convolution whose stride is its kernel. */
function embed(name: string, patch: number, channels: number, patches: number, width: number): Block {
  return {
    name,
    parameters: [
      { name: 'weights', shape: [patch, patch, channels, width], init: { kind: 'normal', std: Math.sqrt(2 / (patch * patch * channels)) } },
      { name: 'bias', shape: [width], init: { kind: 'zeros' } },
    ],
    outputShape: () => [patches, width],
    apply: ({ tf, ops }, image, [weights, bias]) =>
      tf.reshape(ops.conv2d(image as never, weights as never, bias as never, patch, 'valid'), [-1, patches, width]),
  };
}

/** x + mix over patches, then x + mix over channels. */
function mix(name: string, patches: number, width: number): Block {
  const dense = (of: string, size: number) =>
    [
      { name: `${of}.weights`, shape: [size, size], init: { kind: 'normal', std: Math.sqrt(1 / size) } },
      { name: `${of}.bias`, shape: [size], init: { kind: 'zeros' } },
    ] as const;
  return {
    name,
    parameters: [...dense('patches', patches), ...dense('channels', width)],
    outputShape: (shape) => shape,
    apply({ tf, ops }, x_BPC, [wPatches, bPatches, wChannels, bChannels]) {
      const linear = (x: typeof x_BPC, w: unknown, b: unknown, size: number) =>
        ops.gelu(ops.linear(tf.reshape(x, [-1, size]), w as never, b as never));
      const flipped_BCP = tf.transpose(x_BPC, [0, 2, 1]);
      const patchwise_BCP = tf.reshape(linear(flipped_BCP, wPatches, bPatches, patches), [-1, width, patches]);
      const mixed_BPC = tf.add(x_BPC, tf.transpose(patchwise_BCP, [0, 2, 1]));
      return tf.add(mixed_BPC, tf.reshape(linear(mixed_BPC, wChannels, bChannels, width), [-1, patches, width]));
    },
  };
}

/** The mean over patches → logits [B, classes]. */
function classify(name: string, patches: number, width: number, classes: number): Block {
  return {
    name,
    parameters: [
      { name: 'weights', shape: [width, classes], init: { kind: 'normal', std: Math.sqrt(1 / width) } },
      { name: 'bias', shape: [classes], init: { kind: 'zeros' } },
    ],
    outputShape: () => [classes],
    apply: ({ tf, ops }, x_BPC, [weights, bias]) => ops.linear(tf.mean(x_BPC, 1) as never, weights as never, bias as never),
  };
}
