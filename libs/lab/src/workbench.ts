import { LongtailError, type BlockRange, type Dataset, type Engine, type EngineName, type Job, type LocalFile, type ModelProfile } from '@longtail/core';
import { userCache } from '@longtail/core/user-folders';
import { describeData, openDataset } from '@longtail/data';
import { createModel, loadEngine, measureGflops, profileModel } from '@longtail/engine';
import { modelOfStage, type VirtualModel } from '@longtail/simulator';
import { resolveJob, validateJob, type JobDocument } from '@longtail/spec';
import { blobCache, nodeFiles } from '@longtail/store';
import { EngineBlocks } from './engine-blocks.js';

/** A job with its data open, and what its model costs. */
export interface OpenedJob {
  readonly job: Job;
  readonly profile: ModelProfile;
  readonly flopsPerSample: number;
  readonly data: Dataset;
}

/** Data sets, engine and models that arms share: each is made once. */
export class Workbench {
  private readonly datasets = new Map<string, Promise<Dataset>>();
  private readonly files = new Map<string, Promise<readonly LocalFile[]>>();
  private readonly models = new Map<string, Promise<VirtualModel>>();
  private engine: Promise<Engine> | undefined;

  constructor(private readonly engineName: EngineName) {}

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

  /** On the engine, whole and as blocks, with fresh parameters of the job's seed. */
  model({ job, profile, data }: OpenedJob): Promise<VirtualModel> {
    const { model, loss, train } = job;
    return once(this.models, [model, loss, job.data, train.seed], async () => {
      const engine = await this.load();
      const build = (blocks: BlockRange | 'all') => engine.build(model, blocks, { loss, data: data.signature, seed: train.seed });
      const blocks = new EngineBlocks({
        model: await createModel(model, { ...data.signature, loss }),
        data,
        flops: profile.blocks.map(({ forwardFlops, backwardFlops }) => forwardFlops + backwardFlops),
        build,
      });
      return modelOfStage(await build('all'), data, blocks);
    });
  }

  /** What a small network makes of the engine here. */
  async gflops(): Promise<number> {
    return measureGflops(await this.load());
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

function once<Value>(made: Map<string, Promise<Value>>, of: unknown, make: () => Promise<Value>): Promise<Value> {
  const key = JSON.stringify(of);
  const before = made.get(key);
  if (before !== undefined) return before;
  const value = make();
  made.set(key, value);
  return value;
}
