import type { BlockRange, BuildOptions, Engine, EngineInfo, ModelSpec, Stage } from '@longtail/core';
import { initialParameters } from '../initialize.js';
import { LiveStages } from '../live-stages.js';
import { defaultMicrobatch } from '../microbatches.js';
import { createModel } from '../models/create.js';
import { stageModel } from '../stage-model.js';
import { fusedKernels, loadTfjsNode } from './binding.js';
import type { FusedKernels } from './binding.js';
import type { TensorFlowContext } from './context.js';
import { replaceKernels } from './kernels.js';
import { hasNvidiaDevice } from './native.js';
import { multipliesItself } from './products.js';
import { rawOps } from './raw-ops.js';
import { TracedStage } from './stage.js';

export interface TensorFlowOptions {
  /** Threads that compute. TensorFlow reads this when it is loaded: the first call of a process decides. Default: one a core. */
  readonly threads?: number;
}

/**
 * The engine on TensorFlow's native library, with stages as graphs.
 *
 * @throws LongtailError `engine`: there is no binding, or it does not load on this machine.
 */
export async function loadTensorflow(options: TensorFlowOptions = {}): Promise<Engine> {
  const context = await loadContext(options);
  return new TracedEngine(context, describe(context));
}

/** TensorFlow loaded, for the engine and for its tests. */
export async function loadContext({ threads }: TensorFlowOptions): Promise<TensorFlowContext> {
  if (threads !== undefined) process.env.TF_NUM_INTRAOP_THREADS = String(threads);
  // TensorFlow's default is to use oneDNN's kernels on processors with AVX-512 VNNI only; they are the faster ones with AVX2 as well.
  process.env.TF_ENABLE_ONEDNN_OPTS ??= '1';
  const tf = await loadTfjsNode((kernels) => setOpsAtOnce(kernels, threads));
  await tf.setBackend('tensorflow'); // another engine may be active
  const backend = tf.backend() as TensorFlowContext['backend'];
  const fused = backend.isUsingGpuDevice ? undefined : fusedKernels();
  replaceKernels(tf, fused !== undefined);
  return { tf, backend, binding: backend.binding, ops: rawOps(tf, backend, fused), fused };
}

/** TensorFlow reads it while it is loaded. Two ops at once would contend for the threads that work on each of ours. */
function setOpsAtOnce(kernels: FusedKernels | undefined, threads: number | undefined): void {
  if (multipliesItself(kernels) && !hasNvidiaDevice()) process.env.TF_NUM_INTEROP_THREADS = '1';
  else if (threads !== undefined) process.env.TF_NUM_INTEROP_THREADS = String(threads);
}

function describe({ binding, backend }: TensorFlowContext): EngineInfo {
  const device = backend.isUsingGpuDevice ? 'gpu' : 'cpu';
  const threads = process.env.TF_NUM_INTRAOP_THREADS;
  const detail = device === 'gpu' ? 'GPU' : `CPU${threads === undefined ? '' : `, ${threads} thread${threads === '1' ? '' : 's'}`}`;
  return { name: 'tensorflow', description: `TensorFlow ${binding.TF_Version}, ${detail}`, device };
}

class TracedEngine implements Engine {
  private readonly stages = new LiveStages();

  constructor(
    private readonly context: TensorFlowContext,
    readonly info: EngineInfo,
  ) {}

  async build(model: ModelSpec, blocks: BlockRange | 'all', options: BuildOptions): Promise<Stage> {
    const stage = stageModel(await createModel(model, { ...options.data, loss: options.loss }), blocks);
    const own = {
      loss: options.loss,
      maxMicrobatch: options.maxMicrobatch ?? defaultMicrobatch(stage),
      recompute: options.recompute ?? false,
      parameters: initialParameters(stage, options.seed),
    };
    return this.stages.add((disposed) => new TracedStage(this.context, stage, { ...own, disposed }));
  }

  dispose(): Promise<void> {
    return this.stages.dispose();
  }
}
