import { LongtailError, type BlockRange, type Dataset, type Engine, type EngineName, type Job, type LocalFile, type ModelProfile } from '@longtail/core';
import { userCache } from '@longtail/core/user-folders';
import { describeData, openDataset } from '@longtail/data';
import { createModel, loadEngine, measureGflops, profileModel } from '@longtail/engine';
import { batchOf, modelOfStage, type VirtualModel } from '@longtail/simulator';
import { resolveJob, validateJob, type JobDocument } from '@longtail/spec';
import { blobCache, nodeFiles } from '@longtail/store';
import { EngineBlocks } from './engine-blocks.js';
import { EngineThreads } from './engine-threads.js';
import type { BuildRequest } from './thread-channel.js';

/** A job with its data open, and what its model costs. */
export interface OpenedJob {
  readonly job: Job;
  readonly profile: ModelProfile;
  readonly flopsPerSample: number;
  readonly data: Dataset;
}

/** As long as the parameters, of a thread: these, their gradient, both as they cross, and as tensors on their way. */
const VECTORS = 6;

/** Data sets, engine and models that arms share: each is made once. */
export class Workbench {
  private readonly datasets = new Map<string, Promise<Dataset>>();
  private readonly files = new Map<string, Promise<readonly LocalFile[]>>();
  private readonly models = new Map<string, Promise<VirtualModel>>();
  private readonly threadModels = new Map<string, BuildRequest>();
  private engine: Promise<Engine> | undefined;

  /** `threads`: none until they are told what they may use. */
  constructor(
    private readonly engineName: EngineName,
    readonly threads = new EngineThreads(engineName),
  ) {}

  async open(document: JobDocument): Promise<OpenedJob> {
    const draft = validateJob(document);
    if (draft.model.type === 'module') {
      throw new LongtailError('a bench runs no code of its own: model.type module', { code: 'usage', where: 'model.type', hint: 'Take a model that Longtail has.' });
    }
    const data = await this.dataset(draft.data);
    const job = resolveJob(draft, data.signature);
    const profile = profileModel(`${job.model.type} of ${job.name}`, await createModel(job.model, { ...data.signature, loss: job.loss }));
    const flopsPerSample = profile.blocks.reduce((sum, { forwardFlops, backwardFlops }) => sum + forwardFlops + backwardFlops, 0);
    return { job, profile, flopsPerSample, data };
  }

  /** What a job learns from: hashes of files. */
  async dataOf(document: JobDocument): Promise<readonly string[]> {
    return (await this.filesOf(validateJob(document).data)).map(({ sha256 }) => sha256);
  }

  /** On the engine, whole and as blocks, with fresh parameters of the job's seed. Whole it is computed with on threads, where there are any. */
  model(opened: OpenedJob): Promise<VirtualModel> {
    const { model, loss, data, train } = opened.job;
    this.threads.prepare(this.threadModel(opened), bytesOf(opened.profile, train.batch));
    return once(this.models, [model, loss, data, train.seed], () => this.build(opened));
  }

  /** What a small network makes of the engine here. */
  async gflops(): Promise<number> {
    return measureGflops(await this.load());
  }

  private async build(opened: OpenedJob): Promise<VirtualModel> {
    const { job: { model, loss, train }, profile, data } = opened;
    const { threads } = this;
    const engine = await this.load();
    const build = (blocks: BlockRange | 'all') => engine.build(model, blocks, { loss, data: data.signature, seed: train.seed });
    const blocks = new EngineBlocks({
      model: await createModel(model, { ...data.signature, loss }),
      data,
      flops: profile.blocks.map(({ forwardFlops, backwardFlops }) => forwardFlops + backwardFlops),
      build,
    });
    const here = await modelOfStage(await build('all'), data, blocks);
    const onThreads = this.threadModel(opened);
    return {
      ...here,
      beginGradient: (parameters, samples, of) =>
        threads.ask({ model: onThreads, parameters, of, hasGradient: true, batch: () => data.batch('train', samples()), here: (out) => here.gradient(parameters, samples(), out!, of) }),
      evaluate(parameters, split, start, end, of) {
        const compute = () => here.evaluate(parameters, split, start, end, of);
        const asked = threads.ask({ model: onThreads, parameters, of, hasGradient: false, batch: () => batchOf(data, split, start, end), here: compute });
        return asked === undefined ? compute() : threads.want(asked);
      },
    };
  }

  /** Whatever the seed. */
  private threadModel({ job: { model, loss }, data }: OpenedJob): BuildRequest {
    const key = JSON.stringify([model, loss, data.signature]);
    let known = this.threadModels.get(key);
    if (known === undefined) this.threadModels.set(key, (known = { model, options: { loss, data: data.signature, seed: 0 } }));
    return known;
  }

  private load(): Promise<Engine> {
    return (this.engine ??= loadEngine(this.engineName, { threads: 1 }));
  }

  private dataset(spec: Job['data']): Promise<Dataset> {
    return once(this.datasets, spec, async () => openDataset(spec, await this.filesOf(spec), { source: nodeFiles(), cache: blobCache(userCache()) }));
  }

  private filesOf(spec: Job['data']): Promise<readonly LocalFile[]> {
    return once(this.files, spec, () => describeData(spec, nodeFiles(), new AbortController().signal));
  }
}

/** That a thread takes for a model: parameters, gradients and what it computes them from, for a batch at most. */
function bytesOf({ blocks }: ModelProfile, batch: number): number {
  return blocks.reduce((sum, { parameters, stashBytes }) => sum + VECTORS * Float32Array.BYTES_PER_ELEMENT * parameters + 2 * batch * stashBytes, 0);
}

function once<Value>(made: Map<string, Promise<Value>>, of: unknown, make: () => Promise<Value>): Promise<Value> {
  const key = JSON.stringify(of);
  const before = made.get(key);
  if (before !== undefined) return before;
  const value = make();
  made.set(key, value);
  return value;
}
