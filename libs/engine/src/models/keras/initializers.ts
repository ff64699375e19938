import type { Initializer } from '../../block.js';

type InitializerConfig = { readonly class_name?: string; readonly config?: Readonly<Record<string, unknown>> } | undefined;

/**
 * A Keras initialiser by its config. Truncated normals are drawn untruncated with the deviation that Keras aims at after
 * truncation; anything unknown becomes Keras's default for the tensor.
 */
export function kerasInitializer(config: unknown, fanIn: number, fanOut: number, fallback: Initializer): Initializer {
  const { class_name: name = '', config: options = {} } = (config as InitializerConfig) ?? {};
  const number = (key: string, otherwise: number): number => (typeof options[key] === 'number' ? options[key] : otherwise);
  switch (name) {
    case 'Zeros':
      return { kind: 'zeros' };
    case 'Ones':
      return { kind: 'ones' };
    case 'RandomNormal':
    case 'TruncatedNormal':
      return { kind: 'normal', std: number('stddev', 0.05) };
    case 'RandomUniform':
      return { kind: 'uniform', limit: number('maxval', 0.05) };
    case 'GlorotNormal':
      return { kind: 'normal', std: Math.sqrt(2 / (fanIn + fanOut)) };
    case 'HeNormal':
      return { kind: 'normal', std: Math.sqrt(2 / fanIn) };
    case 'HeUniform':
      return { kind: 'uniform', limit: Math.sqrt(6 / fanIn) };
    case 'LeCunNormal':
      return { kind: 'normal', std: Math.sqrt(1 / fanIn) };
    case 'LeCunUniform':
      return { kind: 'uniform', limit: Math.sqrt(3 / fanIn) };
    case 'VarianceScaling': {
      const mode = options.mode ?? 'fan_in';
      const fan = mode === 'fan_avg' ? (fanIn + fanOut) / 2 : mode === 'fan_out' ? fanOut : fanIn;
      const variance = number('scale', 1) / fan;
      return options.distribution === 'uniform' ? { kind: 'uniform', limit: Math.sqrt(3 * variance) } : { kind: 'normal', std: Math.sqrt(variance) };
    }
    default:
      return fallback;
  }
}
