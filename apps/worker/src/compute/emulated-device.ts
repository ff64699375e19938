import { FORWARD_PART, INPUT_GRADIENT_PART, passMs, type BlockTiming, type DeviceSpeed, type Rng } from '@longtail/core';

/**
 * A device that this one stands for, as the simulator has it: passes take what its line says, while their arithmetic is real.
 * A pace would stretch a pass of a small model a hundred times, and with it whatever else the machine did meanwhile.
 */
export class EmulatedDevice {
  constructor(
    private readonly speed: DeviceSpeed,
    private readonly rng: Pick<Rng, 'uniform'>,
  ) {}

  get samplesPerSecond(): number {
    return this.speed.samplesPerSecond;
  }

  /** `part`: of the work of the whole model, forward and backward. */
  passMs(samples: number, part: number): number {
    return passMs(this.speed, samples, part, this.rng);
  }

  /** A profile of this machine as it would be on that device; `shares`: of each block, by name, in the work of the model. */
  profile(timings: readonly BlockTiming[], shares: ReadonlyMap<string, number>): readonly BlockTiming[] {
    const { overheadMs } = this.speed;
    const even = { ...this.speed, jitter: 0 };
    return timings.map(({ block, microbatch, stashBytes }) => {
      const ms = (part: number) => passMs(even, microbatch, part * shares.get(block)!, this.rng);
      const inputGradientMs = ms((1 - FORWARD_PART) * INPUT_GRADIENT_PART);
      const forwardMs = ms(FORWARD_PART);
      const calls = { forwardCallMs: overheadMs, backwardCallMs: overheadMs };
      return { block, microbatch, forwardMs, backwardMs: ms(1 - FORWARD_PART), inputGradientMs, stashBytes, ...calls, recomputeMs: forwardMs };
    });
  }
}
