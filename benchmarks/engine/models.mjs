// The three models of the step benchmark, written as a job's module would write them; torch_twin.py has the same in PyTorch.

const normal = (std) => ({ kind: 'normal', std });
const zeros = { kind: 'zeros' };
const ones = { kind: 'ones' };
const perceptron = (inputs, outputs) => [
  { name: 'weights', shape: [inputs, outputs], init: normal(Math.sqrt(2 / inputs)) },
  { name: 'bias', shape: [outputs], init: zeros },
];

function dense(name, inputs, outputs, activate) {
  return {
    name,
    parameters: perceptron(inputs, outputs),
    outputShape: () => [outputs],
    apply: ({ ops }, x, [weights, bias]) => {
      const y = ops.linear(x, weights, bias);
      return activate ? ops.relu(y) : y;
    },
  };
}

function convolution(name, channels, filters) {
  return {
    name,
    parameters: [
      { name: 'kernel', shape: [3, 3, channels, filters], init: normal(Math.sqrt(2 / (9 * channels))) },
      { name: 'bias', shape: [filters], init: zeros },
    ],
    outputShape: ([height, width]) => [height - 2, width - 2, filters],
    apply: ({ ops }, x, [kernel, bias]) => ops.relu(ops.conv2d(x, kernel, bias, 1, 'valid')),
  };
}

const poolAndFlatten = {
  name: 'pool',
  parameters: [],
  outputShape: ([height, width, channels]) => [(height / 2) * (width / 2) * channels],
  apply: ({ tf, ops }, x) => tf.reshape(ops.maxPool2d(x, 2, 2, 'valid'), [x.shape[0], -1]),
};

function embed({ vocabulary, context, width }) {
  return {
    name: 'embed',
    parameters: [
      { name: 'tokens', shape: [vocabulary, width], init: normal(0.02) },
      { name: 'positions', shape: [context, width], init: normal(0.02) },
    ],
    outputShape: () => [context, width],
    apply: ({ tf, ops }, ids, [tokens, positions]) => {
      const embedded = ops.embedding(tokens, tf.reshape(ids, [-1]));
      return tf.add(tf.reshape(embedded, [ids.shape[0], context, width]), positions);
    },
  };
}

function transformer(name, { context, width, heads }) {
  return {
    name,
    parameters: [
      { name: 'norm1.gain', shape: [width], init: ones },
      { name: 'norm1.bias', shape: [width], init: zeros },
      { name: 'qkv.weights', shape: [width, 3 * width], init: normal(0.02) },
      { name: 'qkv.bias', shape: [3 * width], init: zeros },
      { name: 'out.weights', shape: [width, width], init: normal(0.02) },
      { name: 'out.bias', shape: [width], init: zeros },
      { name: 'norm2.gain', shape: [width], init: ones },
      { name: 'norm2.bias', shape: [width], init: zeros },
      { name: 'up.weights', shape: [width, 4 * width], init: normal(0.02) },
      { name: 'up.bias', shape: [4 * width], init: zeros },
      { name: 'down.weights', shape: [4 * width, width], init: normal(0.02) },
      { name: 'down.bias', shape: [width], init: zeros },
    ],
    outputShape: (shape) => shape,
    apply: ({ tf, ops }, x_BLD, p) => {
      const x = tf.reshape(x_BLD, [-1, width]);
      const qkv = ops.linear(ops.layerNorm(x, p[0], p[1]), p[2], p[3]);
      const attended = tf.reshape(ops.selfAttention(tf.reshape(qkv, [-1, context, 3 * width]), heads), [-1, width]);
      const h = tf.add(x, ops.linear(attended, p[4], p[5]));
      const inner = ops.gelu(ops.linear(ops.layerNorm(h, p[6], p[7]), p[8], p[9]));
      return tf.reshape(tf.add(h, ops.linear(inner, p[10], p[11])), x_BLD.shape);
    },
  };
}

function head({ vocabulary, context, width }) {
  return {
    name: 'head',
    parameters: [
      { name: 'norm.gain', shape: [width], init: ones },
      { name: 'norm.bias', shape: [width], init: zeros },
      { name: 'weights', shape: [width, vocabulary], init: normal(0.02) },
    ],
    outputShape: () => [context, vocabulary],
    apply: ({ tf, ops }, x, [gain, bias, weights]) => {
      const normed = ops.layerNorm(tf.reshape(x, [-1, width]), gain, bias);
      return tf.reshape(ops.linear(normed, weights), [x.shape[0], context, vocabulary]);
    },
  };
}

export const GPT = { vocabulary: 4096, context: 128, width: 256, layers: 4, heads: 4 };

const MODELS = {
  mlp: () => ({
    inputShape: [784],
    inputType: 'float32',
    blocks: [dense('dense1', 784, 512, true), dense('dense2', 512, 512, true), dense('dense3', 512, 10, false)],
  }),
  cnn: () => ({
    inputShape: [28, 28, 1],
    inputType: 'float32',
    blocks: [
      convolution('conv1', 1, 32),
      convolution('conv2', 32, 64),
      poolAndFlatten,
      dense('dense1', 9216, 128, true),
      dense('dense2', 128, 10, false),
    ],
  }),
  gpt: () => ({
    inputShape: [GPT.context],
    inputType: 'int32',
    blocks: [embed(GPT), ...Array.from({ length: GPT.layers }, (_, i) => transformer(`layer${i}`, GPT)), head(GPT)],
  }),
};

/** The module's default export, as `ModelFactory` wants it: `options.name` picks the model. */
export default function createModel({ name }) {
  return MODELS[name]();
}

/** What each model trains on: shapes, batch, learning rate. */
export const RECIPES = {
  mlp: { batch: 128, learningRate: 1e-3, inputShape: [784], inputType: 'float32', targetShape: [], classes: 10 },
  cnn: { batch: 64, learningRate: 1e-4, inputShape: [28, 28, 1], inputType: 'float32', targetShape: [], classes: 10 },
  gpt: { batch: 8, learningRate: 1e-3, inputShape: [GPT.context], inputType: 'int32', targetShape: [GPT.context], classes: GPT.vocabulary },
};

export const ADAM = { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0, decoupled: false };
