import type * as tfjs from '@tensorflow/tfjs';
import type { NodeJSKernelBackend } from '@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js';
import { differentiable } from '../differentiable.js';
import type { Ops } from '../ops.js';

type FusedOps = Pick<Ops, 'gelu' | 'swiglu' | 'layerNorm' | 'rmsNorm' | 'causalAttention' | 'selfAttention' | 'crossEntropy'>;

/**
 * Operations by the kernels of `libs/engine/native`, which compute in one pass over memory what takes TensorFlow's own ops
 * one pass each. For processors only.
 */
export function fusedOps(tf: typeof tfjs, backend: NodeJSKernelBackend): FusedOps {
  const run = (op: string, inputs: tfjs.Tensor[], outputs: number, attributes: Readonly<Record<string, number>> = {}): tfjs.Tensor[] => {
    const type = backend.binding.TF_ATTR_INT;
    const list = Object.entries(attributes).map(([name, value]) => ({ name, type, value }));
    return backend.executeMultipleOutputs(`Longtail${op}`, list, inputs, outputs);
  };
  return { ...activations(tf, run), ...norms(tf, run), ...attention(tf, run), ...crossEntropy(tf, run) };
}

type Run = (op: string, inputs: tfjs.Tensor[], outputs: number, attributes?: Readonly<Record<string, number>>) => tfjs.Tensor[];

function activations(tf: typeof tfjs, run: Run): Pick<Ops, 'gelu' | 'swiglu'> {
  return {
    gelu: (x) =>
      differentiable(
        tf,
        { x },
        (save) => {
          save([x]);
          return run('Gelu', [x], 1)[0];
        },
        (dy, [x]) => ({ x: () => run('GeluGrad', [dy, x], 1)[0] }),
      ),
    swiglu: (gate, up) =>
      differentiable(
        tf,
        { gate, up },
        (save) => {
          save([gate, up]);
          return run('Swiglu', [gate, up], 1)[0];
        },
        (dy, [gate, up]) => {
          const [dGate, dUp] = run('SwigluGrad', [dy, gate, up], 2);
          return { gate: () => dGate, up: () => dUp };
        },
      ),
  };
}

function norms(tf: typeof tfjs, run: Run): Pick<Ops, 'layerNorm' | 'rmsNorm'> {
  return {
    layerNorm: (x, gain, bias) =>
      differentiable(
        tf,
        { x, gain, bias },
        (save) => {
          const [y, mean, r] = run('LayerNorm', [x, gain, bias], 3);
          save([x, mean, r, gain]);
          return y as tfjs.Tensor2D;
        },
        (dy, saved) => {
          const [dx, dGain, dBias] = run('LayerNormGrad', [dy, ...saved], 3);
          return { x: () => dx, gain: () => dGain, bias: () => dBias };
        },
      ),
    rmsNorm: (x, gain) =>
      differentiable(
        tf,
        { x, gain },
        (save) => {
          const [y, r] = run('RmsNorm', [x, gain], 2);
          save([x, r, gain]);
          return y as tfjs.Tensor2D;
        },
        (dy, saved) => {
          const [dx, dGain] = run('RmsNormGrad', [dy, ...saved], 2);
          return { x: () => dx, gain: () => dGain };
        },
      ),
  };
}

/** Without the matrix of weights (Dao et al. 2022, FlashAttention): a query's are computed again where they are needed. */
function attention(tf: typeof tfjs, run: Run): Pick<Ops, 'causalAttention' | 'selfAttention'> {
  return {
    causalAttention: (q, k, v) =>
      differentiable(
        tf,
        { q, k, v },
        (save) => {
          const [out, logTotal] = run('Attention', [q, k, v], 2);
          save([q, k, v, out, logTotal]);
          return out as tfjs.Tensor4D;
        },
        (dy, saved) => {
          const [dq, dk, dv] = run('AttentionGrad', [dy, ...saved], 3);
          return { q: () => dq, k: () => dk, v: () => dv };
        },
      ),
    selfAttention: (qkv, heads) =>
      differentiable(
        tf,
        { qkv },
        (save) => {
          const [out, logTotal] = run('SelfAttention', [qkv], 2, { heads });
          save([qkv, out, logTotal]);
          return out as tfjs.Tensor3D;
        },
        (dy, saved) => ({ qkv: () => run('SelfAttentionGrad', [dy, ...saved], 1, { heads })[0] }),
      ),
  };
}

function crossEntropy(tf: typeof tfjs, run: Run): Pick<Ops, 'crossEntropy'> {
  return {
    crossEntropy: (logits, labels) =>
      differentiable(
        tf,
        { logits },
        (save) => {
          const [loss, logTotal, best] = run('CrossEntropy', [logits, labels], 3);
          best.dispose(); // in a graph the count of hits takes it
          save([logits, logTotal, labels]);
          return loss as tfjs.Tensor1D;
        },
        (dy, saved) => ({ logits: () => run('CrossEntropyGrad', [dy, ...saved], 1)[0] }),
      ),
  };
}
