import type { BlobCache, Engine, Job } from '@longtail/core';
import { loadEngine } from '@longtail/engine';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { profileBlocks, type ProfileOptions } from './block-profile.js';
import { CallAborted, Interrupts } from './interrupts.js';
import { signatureOf } from './model-signature.js';

const JOB = {
  name: 'test',
  model: { type: 'gpt', vocabulary: 11, context: 6, width: 8, layers: 3, heads: 2, feedForward: 12 },
  loss: 'cross-entropy',
  train: { seed: 3 },
  cluster: {},
} as unknown as Job;

let engine: Engine;
beforeAll(async () => {
  engine = await loadEngine('cpu');
});

function memoryCache(): BlobCache {
  const blobs = new Map<string, Uint8Array>();
  return { get: async (key) => blobs.get(key), put: async (key, bytes) => void blobs.set(key, bytes) };
}

/** What is put into it was measured on a device that takes so many times as long. */
function cacheOf(slowness: number): BlobCache {
  const { get, put } = memoryCache();
  const stretched = ([field, value]: [string, number]) => [field, field.endsWith('Ms') ? slowness * value : value] as const;
  return {
    get,
    put: async (key, bytes) => {
      const { figures, ...rest } = JSON.parse(new TextDecoder().decode(bytes)) as { readonly figures: Record<string, number> };
      const entry = { ...rest, figures: Object.fromEntries(Object.entries(figures).map(stretched)) };
      await put(key, new TextEncoder().encode(JSON.stringify(entry)));
    },
  };
}

function profile(changes: Partial<ProfileOptions> = {}): ReturnType<typeof profileBlocks> {
  const signature = signatureOf(JOB.model, JOB.loss)!;
  const defaults = { engine, threads: 1, pace: 1, job: JOB, signature, microbatches: [1, 2], memoryBytes: 2 ** 30, cache: memoryCache(), nowMs: () => 0 };
  return profileBlocks({ ...defaults, interrupts: new Interrupts(), onBlock: () => undefined, ...changes });
}

describe('profileBlocks', () => {
  it('times every block at every size, equal ones once', async () => {
    const build = vi.spyOn(engine, 'build');
    const progress: number[][] = [];
    const { timings, cached } = await profile({ onBlock: (...call) => void progress.push([...call, build.mock.calls.length]) });
    expect(timings.map(({ block, microbatch }) => `${block} ${microbatch}`)).toEqual(
      ['embedding', 'layer0', 'layer1', 'layer2', 'head'].flatMap((block) => [`${block} 1`, `${block} 2`]),
    );
    expect(build, 'each kind, and two layers together, with recompute and without').toHaveBeenCalledTimes(8);
    expect(cached).toBe(false);
    expect(progress.at(-1), 'when it says that all are done, they are').toEqual([5, 5, 8]);
    const layers = timings.filter(({ block, microbatch }) => block.startsWith('layer') && microbatch === 2);
    for (const { block: _, ...figures } of layers) expect(figures).toEqual({ ...layers[0], block: undefined });
    for (const { forwardMs, backwardMs, inputGradientMs } of timings) for (const ms of [forwardMs, backwardMs, inputGradientMs]) expect(ms).toBeGreaterThan(0);
    expect(layers[0]!.stashBytes).toBeGreaterThan(2 * 6 * 8 * 4);
    for (const { forwardMs, backwardMs, forwardCallMs, backwardCallMs } of layers) {
      expect(forwardCallMs).toBeGreaterThanOrEqual(0);
      expect(forwardCallMs).toBeLessThanOrEqual(forwardMs);
      expect(backwardCallMs).toBeGreaterThanOrEqual(0);
      expect(backwardCallMs).toBeLessThanOrEqual(backwardMs);
    }
    build.mockRestore();
  });

  it('believes what was measured within a minute, and stretches it to the pace in force', async () => {
    const cache = memoryCache();
    const first = await profile({ cache, pace: 0.5 });
    const build = vi.spyOn(engine, 'build');
    const [again, slower] = [await profile({ cache, pace: 0.5, nowMs: () => 59_000 }), await profile({ cache, pace: 0.25, nowMs: () => 59_000 })];
    expect(build).not.toHaveBeenCalled();
    expect([first.cached, again.cached, slower.cached]).toEqual([false, true, true]);
    expect(again.timings).toEqual(first.timings);
    expect(slower.timings.map(({ forwardMs }) => forwardMs)).toEqual(again.timings.map(({ forwardMs }) => 2 * forwardMs));
    await profile({ cache, pace: 0.5, microbatches: [1, 4] });
    expect(build, 'the new size, of each kind both ways').toHaveBeenCalledTimes(8);
    build.mockRestore();
  });

  it('takes a look at the costliest later on, and brings all that is known to the speed of now', async () => {
    const cache = cacheOf(0.01);
    await profile({ cache });
    const [before, build] = [await profile({ cache }), vi.spyOn(engine, 'build')];
    const later = await profile({ cache, nowMs: () => 61_000 });
    expect(build, 'the costliest, as often as it takes so much longer').toHaveBeenCalledTimes(3);
    expect(later.cached).toBe(true);
    const factors = later.timings.map(({ forwardMs }, i) => forwardMs / before.timings[i]!.forwardMs);
    for (const factor of factors) expect(factor).toBeCloseTo(factors[0]!, 6);
    expect(factors[0]).toBeGreaterThan(1);
    build.mockRestore();
  });

  it('measures again what was measured while the device was busy', async () => {
    const cache = cacheOf(1000);
    const first = await profile({ cache });
    const build = vi.spyOn(engine, 'build');
    const second = await profile({ cache, nowMs: () => 61_000 });
    expect(build, 'the look, and each kind both ways').toHaveBeenCalledTimes(9);
    expect([first.cached, second.cached]).toEqual([false, false]);
    build.mockRestore();
  });

  describe('while the machine is busy with something else', () => {
    const PASS_MS = 10;
    /** An engine whose forward and backward passes take 10 ms each of a clock of its own, the first of them so many times as long. */
    function busyFor(passes: number, times = 1000): { readonly engine: Engine; readonly builds: () => number } {
      let [nowMs, left, builds] = [0, passes, 0];
      vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
      const taking = <Args extends unknown[], Result>(work: (...args: Args) => Promise<Result>) => (...args: Args): Promise<Result> => {
        nowMs += PASS_MS * (left-- > 0 ? times : 1);
        return work(...args);
      };
      const build: Engine['build'] = async (...args) => {
        builds++;
        const stage = await engine.build(...args);
        const timed = { forward: taking(stage.forward.bind(stage)), backward: taking(stage.backward.bind(stage)) };
        return new Proxy(stage, { get: (of, key) => (key in timed ? timed[key as keyof typeof timed] : bound(of, key)) });
      };
      return { engine: { info: engine.info, build } as Engine, builds: () => builds };
    }
    const bound = (of: object, key: string | symbol): unknown => {
      const value: unknown = Reflect.get(of, key);
      return typeof value === 'function' ? value.bind(of) : value;
    };
    const forwardMs = ({ timings }: Awaited<ReturnType<typeof profile>>) => timings.map((timing) => timing.forwardMs);

    afterEach(() => vi.restoreAllMocks());

    // Warm-up and a round of five such passes, for longer than there is time, and the first of another.
    it.each([[6, 1000], [10, 1000], [11, 8]])('a pass is timed again that others take a fraction of (%i passes %i times as long)', async (passes, times) => {
      const all = forwardMs(await profile({ engine: busyFor(passes, times).engine }));
      expect(all).toEqual(all.map(() => PASS_MS));
    });

    it('a look that says it is much slower is taken again', async () => {
      const cache = memoryCache();
      await profile({ cache, engine: busyFor(0).engine });
      const { engine: busy, builds } = busyFor(8);
      const later = await profile({ cache, engine: busy, nowMs: () => 61_000 });
      expect(forwardMs(later)).toEqual(later.timings.map(() => PASS_MS));
      expect(builds()).toBe(2);
    });

    it('what takes longer at every look is believed', async () => {
      const cache = memoryCache();
      await profile({ cache, engine: busyFor(0).engine });
      const later = await profile({ cache, engine: busyFor(Infinity).engine, nowMs: () => 61_000 });
      expect(forwardMs(later)).toEqual(later.timings.map(() => 1000 * PASS_MS));
    });
  });

  it('times stages that compute again where a plan may have them and there is room for both', async () => {
    const recomputeMs = async (changes: Partial<ProfileOptions>) => (await profile(changes)).timings.map((timing) => timing.recomputeMs);
    const layers = (all: readonly number[]) => all.slice(2, 8);
    for (const ms of layers(await recomputeMs({}))) expect(ms).toBeGreaterThan(0);
    const never = await recomputeMs({ job: { ...JOB, cluster: { recompute: 'never' } } as unknown as Job });
    expect(never).toEqual(never.map(() => 0));
    const tight = await recomputeMs({ memoryBytes: 20_000 });
    expect(tight.length).toBe(never.length);
    expect(layers(tight)).toEqual(layers(never));
  });

  it('leaves out what exceeds the offer, and says how much, and ends when nobody wants it', async () => {
    const { timings, untimed } = await profile({ memoryBytes: 8_000 });
    const timed = new Set(timings.map(({ block }) => block));
    expect(timed).not.toContain('layer0');
    expect(untimed).toBe(5 - timed.size);
    const interrupts = new Interrupts();
    interrupts.abort();
    await expect(profile({ interrupts })).rejects.toThrow(CallAborted);
  });
});
