import type { Scenario, VirtualModel } from '@longtail/simulator';

/** A validation loss, by virtual time. */
export interface Measured {
  readonly atMs: number;
  readonly samples: number;
  readonly loss: number;
}

/** Keeps parameters of a run at equal distances in samples, to look later how good they are: it takes no time of the run. */
export class Evaluation {
  private readonly kept: { readonly atMs: number; readonly samples: number; readonly parameters: Float32Array }[] = [];

  /** `total`: samples of the run. */
  constructor(
    private readonly points: number,
    private readonly total: number,
  ) {}

  readonly committed: NonNullable<Scenario['committed']> = ({ samplesApplied: samples }, atMs, parameters) => {
    const dueAt = (this.kept.at(-1)?.samples ?? 0) + this.total / this.points;
    if (samples >= Math.min(dueAt, this.total)) this.kept.push({ atMs, samples, parameters: parameters() });
  };

  /** Over the first `samples` of the validation split. */
  async losses(model: VirtualModel, samples: number): Promise<readonly Measured[]> {
    const end = Math.min(samples, model.validationSamples);
    const measure = async ({ parameters, ...point }: (typeof this.kept)[number]): Promise<Measured> => {
      const { lossSum, targets } = await model.evaluate(parameters, 'validation', 0, end);
      return { ...point, loss: lossSum / targets };
    };
    return Promise.all(this.kept.map(measure));
  }
}
