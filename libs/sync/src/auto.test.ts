import { codecBits, type CodecName, type Job, type SyncChoice, type SyncFleet, type SyncLink } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chooseSync } from './auto.js';

const HOME = { upBitsPerSecond: 20e6, downBitsPerSecond: 100e6, roundTripMs: 40 };
const LAN = { upBitsPerSecond: 1e11, downBitsPerSecond: 1e11, roundTripMs: 1 };

function job(batch: number, optimizer: Partial<Job['train']['optimizer']> = {}): Job {
  return { train: { batch, optimizer: { type: 'adam', ...optimizer } }, sync: { strategy: 'auto' } } as Job;
}

function fleet(values: number, stepMs: readonly number[], links: readonly Omit<SyncLink, 'name' | 'values'>[]): SyncFleet {
  return { groups: stepMs.map((msPerSample, i) => ({ node: `n${i}`, msPerSample, links: [{ name: 'abcd'[i]!, values, ...links[i % links.length]! }] })) };
}

test('on a LAN nothing is gained by fewer bits', () => {
  const choice = chooseSync(job(1), fleet(10e6, [1800, 1800], [LAN]));
  expect(choice).toMatchObject({ strategy: 'bsp', codec: 'fp32', downCodec: 'fp32', computeMs: 900 });
  expect(choice.localSteps).toBeUndefined();
  expect(choice.reason).toBe(
    'bsp, fp32: one exchange of 7.4 ms beside a step of 900 ms, 0.8 % of a round (a: 3.2 ms up at 100 Gbit/s, 3.2 ms down at 100 Gbit/s, 1 ms there and back)',
  );
});

test('over home links an exchange is spread over as many local steps as hide it', () => {
  const choice = chooseSync(job(1), fleet(10e6, [1400, 2300, 3500, 5600], [LAN, LAN, LAN, HOME]));
  expect(choice).toMatchObject({ strategy: 'streaming-diloco', localSteps: 21, fragments: 4, codec: 'int4', downCodec: 'int8' });
  expect(choice.reason).toBe(
    'streaming-diloco, H = 21, int4, batches of 1: one exchange of 3.0 s beside 21 steps of 1.4 s, 10.1 % of their time, in 4 fragments while they are taken ' +
      '(d: 2.0 s up at 20 Mbit/s, 800 ms down at 100 Mbit/s, 160 ms there and back); diloco, H = 20, int8 would wait 4.8 s beside 20 steps of 1.4 s',
  );
});

test("a local step is of a group's part of the job's batch, as far as the job does not say", () => {
  const home = fleet(10e6, [1400, 2300, 3500, 5600], [LAN, LAN, LAN, HOME]);
  const choice = chooseSync(job(8), home);
  expect(choice).toMatchObject({ localBatch: 2, computeMs: choice.localSteps! * 2 * 1400 });
  const said = chooseSync({ ...job(8), sync: { strategy: 'auto', localBatch: 4 } } as Job, home);
  expect(said.localBatch).toBe(4);
  expect(said.localSteps).toBeLessThan(choice.localSteps!);
  expect(chooseSync(job(8), fleet(10e3, [1400, 2300], [LAN])).localBatch).toBeUndefined();
});

test('where a group is a pipeline an exchange is waited for, and takes that many more local steps', () => {
  const { groups } = fleet(10e6, [1400, 2300], [HOME]);
  const half = (name: string) => ({ name, values: 5e6, ...HOME });
  const pipelined = { groups: [...groups, { node: 'p1', msPerSample: 1500, links: [half('x'), half('y')] }] };
  expect(chooseSync(job(1), pipelined)).toMatchObject({ strategy: 'diloco', localSteps: 39, codec: 'int4' });
});

test('where somebody has no room for an optimizer of its own the server steps, and the reason says for whom', () => {
  const { groups } = fleet(10e6, [1400, 2300], [HOME]);
  const half = (name: string, mayStep: boolean) => ({ name, values: 5e6, ...HOME, mayStep });
  const choice = chooseSync(job(1), { groups: [...groups, { node: 'p1', msPerSample: 1500, links: [half('x', true), half('y', false)] }] });
  expect(choice).toMatchObject({ strategy: 'bsp', codec: 'int4', downCodec: 'int8' });
  expect(choice.reason).toContain('; not hidden, as y has no room for an optimizer of its own: a (');
});

test('a link that nothing can hide is named', () => {
  const { strategy, localSteps, exchanges, reason } = chooseSync(job(1), fleet(100e6, [100, 100], [LAN, { ...HOME, upBitsPerSecond: 1e5 }]));
  expect([strategy, localSteps]).toEqual(['sparse-diloco', 500]);
  expect(exchanges.map(({ name, hidden }) => [name, hidden])).toEqual([['a', true], ['b', false]]);
  expect(reason).toMatch(/; not hidden, as nothing sends less: b \(.*\)$/);
});

/** Coding fewer bits takes longer: ms a million values, each way. */
const CODING = coding({ fp32: 0.5, bf16: 1, int8: 2, int4: 4 });

function coding(times: Partial<Record<CodecName, number>>): SyncFleet['coding'] {
  return Object.fromEntries(Object.entries(times).map(([codec, ms]) => [codec, { encodeMs: ms, decodeMs: ms }]));
}

test('what coding takes is part of an exchange, and of its reason', () => {
  const some = { ...fleet(10e6, [1800, 1800], [LAN]), coding: CODING };
  const choice = chooseSync(job(1), some);
  // Of 10 M values: coded by the worker, decoded from both at the server, coded there once, decoded by the worker.
  expect(choice).toMatchObject({ strategy: 'bsp', codec: 'fp32', exchanges: [{ codingMs: 25 }, { codingMs: 25 }] });
  expect(choice.reason).toContain('1 ms there and back, 25 ms to code)');
  const fast = chooseSync(job(1), { ...some, groups: some.groups.map((group) => ({ ...group, msPerSample: 600 })) });
  expect(fast).toMatchObject({ strategy: 'diloco', codec: 'int8' });
});

test('where nothing is hidden and the server must step, the codec with the shortest exchange is taken: none where coding takes longer than sending', () => {
  const recipe = job(1);
  const standing = chooseSync(recipe, fleet(10e6, [1800, 1800], [LAN]));
  const codecOver = (rate: number) => {
    const link = { upBitsPerSecond: rate, downBitsPerSecond: rate, roundTripMs: 1 };
    return chooseSync(recipe, { ...fleet(10e6, [10, 10], [link]), coding: CODING }, standing).codec;
  };
  expect([1e11, 1e10, 2e9, 1e8].map(codecOver)).toEqual(['fp32', 'bf16', 'int8', 'int4']);
});

test('what Muon steps stays with the workers', () => {
  const choice = chooseSync(job(1, { muon: { momentum: 0.9 } } as Partial<Job['train']['optimizer']>), fleet(1e6, [900, 900], [LAN]));
  expect(choice).toMatchObject({ strategy: 'diloco', localSteps: 3, codec: 'int8' });
});

const positive = (min: number, max: number) => fc.double({ min: Math.log(min), max: Math.log(max), noNaN: true }).map(Math.exp);
const anyLink = fc.record({ upBitsPerSecond: positive(1e4, 1e12), downBitsPerSecond: positive(1e4, 1e12), roundTripMs: positive(0.1, 1000), values: fc.integer({ min: 1, max: 1e9 }) });
const anyFleet: fc.Arbitrary<SyncFleet> = fc.record({
  groups: fc
    .array(fc.record({ msPerSample: positive(1e-3, 1e5), links: fc.array(anyLink, { minLength: 1, maxLength: 3 }) }), { minLength: 1, maxLength: 6 })
    .map((groups) => groups.map(({ msPerSample, links }, g) => ({ node: `g${g}`, msPerSample, links: links.map((link, l) => ({ name: `g${g}.${l}`, ...link })) }))),
  server: fc.option(fc.record({ upBitsPerSecond: positive(1e5, 1e12), downBitsPerSecond: positive(1e5, 1e12) }), { nil: undefined }),
  coding: fc.option(fc.record({ fp32: positive(0.01, 10), bf16: positive(0.01, 10), int8: positive(0.01, 10), int4: positive(0.01, 10), 'top-k': positive(0.01, 10) }).map(coding), { nil: undefined }),
});
const anyJob = fc.record({ batch: fc.integer({ min: 1, max: 4096 }), muon: fc.boolean() }).map(({ batch, muon }) => job(batch, muon ? ({ muon: { momentum: 0.9 } } as object) : {}));

type Choice = ReturnType<typeof chooseSync>;
const bitsAStep = (bits: number, { localSteps = 1 }: Choice) => bits / localSteps;
const upBits = (choice: Choice) => bitsAStep(codecBits(choice.codec), choice);
const downBits = (choice: Choice) => bitsAStep(codecBits(choice.downCodec), choice);

test('every link is hidden by its own arithmetic, or named, and then nothing that sends less is left', () => {
  fc.assert(
    fc.property(anyJob, anyFleet, (recipe, some) => {
      const choice = chooseSync(recipe, some);
      const links = some.groups.flatMap((group) => group.links);
      expect(choice.exchanges.map(({ name }) => name)).toEqual(links.map(({ name }) => name));
      choice.exchanges.forEach(({ name, upMs, downMs, roundTripMs, codingMs, hidden }, i) => {
        const { values, upBitsPerSecond, downBitsPerSecond } = links[i]!;
        expect(upMs).toBeGreaterThanOrEqual(((1000 * values * codecBits(choice.codec)) / upBitsPerSecond) * (1 - 1e-12));
        expect(downMs).toBeGreaterThanOrEqual(((1000 * values * codecBits(choice.downCodec)) / downBitsPerSecond) * (1 - 1e-12));
        const exchangeMs = upMs + downMs + roundTripMs + codingMs;
        expect(hidden).toBe(exchangeMs <= choice.computeMs * (choice.fragments === undefined ? 0.05 / 0.95 : 0.8));
        if (!hidden) expect(choice.reason).toContain(`${name} (`);
      });
      if (choice.exchanges.some(({ hidden }) => !hidden)) expect(choice).toMatchObject({ strategy: 'sparse-diloco', localSteps: 500 });
    }),
  );
});

test('a slower link, or a faster device, never gets more bits for a step', () => {
  fc.assert(
    fc.property(anyJob, anyFleet, fc.nat(), fc.nat(), positive(1, 1000), fc.constantFrom('up', 'down', 'rtt', 'device'), (recipe, some, g, l, factor, what) => {
      const slower = changed(some, g % some.groups.length, l, factor, what);
      const [before, after] = [chooseSync(recipe, some), chooseSync(recipe, slower)];
      expect(upBits(after)).toBeLessThanOrEqual(upBits(before));
      expect(downBits(after)).toBeLessThanOrEqual(downBits(before));
    }),
  );
});

function changed(some: SyncFleet, g: number, l: number, factor: number, what: 'up' | 'down' | 'rtt' | 'device'): SyncFleet {
  const groups = some.groups.map((group, i) => {
    if (i !== g) return group;
    if (what === 'device') return { ...group, msPerSample: group.msPerSample / factor };
    const links = group.links.map((link, j) => {
      if (j !== l % group.links.length) return link;
      if (what === 'up') return { ...link, upBitsPerSecond: link.upBitsPerSecond / factor };
      if (what === 'down') return { ...link, downBitsPerSecond: link.downBitsPerSecond / factor };
      return { ...link, roundTripMs: link.roundTripMs * factor };
    });
    return { ...group, links };
  });
  return { ...some, groups };
}

test('faster links never lead to a choice that costs more tokens', () => {
  const order = ['bsp', 'diloco', 'streaming-diloco', 'sparse-diloco'];
  fc.assert(
    fc.property(anyFleet, (any) => {
      const some = { ...any, server: undefined };
      const choice = chooseSync(job(64), some);
      const faster = chooseSync(job(64), { ...some, groups: some.groups.map((group) => ({ ...group, links: group.links.map(twice) })) });
      expect(order.indexOf(faster.strategy)).toBeLessThanOrEqual(order.indexOf(choice.strategy));
      expect(faster.localSteps ?? 1).toBeLessThanOrEqual(choice.localSteps ?? 1);
      expect(bitsOfStep(faster)).toBeGreaterThanOrEqual(bitsOfStep(choice));
      if (faster.strategy === choice.strategy) expect(codecBits(faster.codec)).toBeGreaterThanOrEqual(codecBits(choice.codec));
    }),
  );
});

function bitsOfStep({ codec, localSteps = 1 }: SyncChoice): number {
  return codecBits(codec) / localSteps;
}

function twice(link: SyncLink): SyncLink {
  return { ...link, upBitsPerSecond: 2 * link.upBitsPerSecond, downBitsPerSecond: 2 * link.downBitsPerSecond, roundTripMs: link.roundTripMs / 2 };
}

test('a choice stays while links stray by less than a quarter, follows those that stray further, and keeps its optimizer at the server', () => {
  fc.assert(
    fc.property(anyJob, anyFleet, positive(0.01, 100), (recipe, some, factor) => {
      const strayed = { ...some, server: undefined, groups: some.groups.map((group) => ({ ...group, links: group.links.map((link) => slowed(link, factor)) })) };
      const steady = chooseSync(recipe, { ...some, server: undefined });
      const next = chooseSync(recipe, strayed, steady);
      const fresh = chooseSync(recipe, strayed);
      expect(next.localSteps === undefined).toBe(steady.localSteps === undefined);
      const stays = next.localSteps === steady.localSteps && next.codec === steady.codec;
      if (factor > 1 / 1.24 && factor < 1.24) expect(stays).toBe(true);
      else if (!stays && (fresh.localSteps === undefined) === (steady.localSteps === undefined)) expect([next.codec, next.localSteps]).toEqual([fresh.codec, fresh.localSteps]);
    }),
  );
});

function slowed(link: SyncLink, factor: number): SyncLink {
  return { ...link, upBitsPerSecond: link.upBitsPerSecond / factor, downBitsPerSecond: link.downBitsPerSecond / factor, roundTripMs: link.roundTripMs * factor };
}
