import { DOMParser, type Element } from '@xmldom/xmldom';
import { html, type BenchOutcome, type BenchResult } from '@longtail/core';
import { csvParse } from 'd3-dsv';
import { describe, expect, test } from 'vitest';
import { exampleResult } from './example-result.js';
import { FONT_SIZE } from './plot.js';
import { textWidth } from './text.js';
import { writeReport } from './write-report.js';

const KNOBS = ['5mbit', '20mbit', '100mbit'];
const HOSTILE = '<script>alert("1")</script>&\'\u0007';
const CASES: Readonly<Record<string, BenchResult>> = {
  'two arms on four nodes': exampleResult({ arms: 2, seeds: 1, nodes: 4 }),
  'a sweep with three seeds': exampleResult({ arms: 5, seeds: 3, nodes: 8, knobs: KNOBS }),
  'a large fleet': exampleResult({ arms: 13, seeds: 1, nodes: 100 }),
  'no arithmetic': exampleResult({ arms: 4, seeds: 2, nodes: 30, withoutLoss: true }),
  'names that are markup': exampleResult({ arms: 5, seeds: 2, nodes: 4, knobs: ['a"<b>', 'c&d'], prefix: HOSTILE }),
};

const SCRIPTS = /<script>\n[^]*?<\/script>/;
const NO_NUMBER = /NaN|Infinity|undefined|\[object|null/;

const svgOf = (files: ReadonlyMap<string, string>): [string, string][] => [...files].filter(([name]) => name.endsWith('.svg'));

describe.each(Object.entries(CASES))('the report of %s', (_, result) => {
  const files = writeReport(result);
  const page = files.get('report.html')!;

  test('is the same bytes from what was read back', () => {
    expect([...writeReport(JSON.parse(JSON.stringify(result)) as BenchResult)]).toEqual([...files]);
  });

  test('loads nothing, and has no number that is none', () => {
    expect(page.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|\bsrc=|<link|@import|url\(/);
    for (const [name, text] of files) if (!name.endsWith('.csv')) expect(text.replace(SCRIPTS, ''), name).not.toMatch(NO_NUMBER);
  });

  test('names every arm in the table, and draws or refuses each', () => {
    const cells = [...page.matchAll(/<td class="name"[^>]*>\s*(?:<i[^>]*><\/i>)?([^<]*?)\s*</g)].map(([, text]) => text);
    const names = [...new Set(result.arms.map(({ name }) => name))];
    for (const { name, outcome } of result.arms) {
      expect(cells).toContain(html`${name}`.text);
      const index = names.indexOf(name) + 1;
      const drawn = [...files.keys()].filter((file) => new RegExp(`^charts/(rounds|utilisation)-${index}-`).test(file));
      expect(drawn).toHaveLength(outcome.status === 'done' ? 2 : 0);
    }
  });

  test('its pictures are whole XML with a title, names along both axes and generic fonts', () => {
    for (const [name, svg] of svgOf(files)) {
      const root = new DOMParser({
        onError: (level, message) => {
          if (level !== 'warning') throw new Error(`${name}: ${message}`);
        },
      }).parseFromString(svg, 'image/svg+xml').documentElement!;
      expect(svg).not.toMatch(/var\(|currentColor|<script|<style/);
      expect(root.getAttribute('font-family')).toBe('sans-serif');
      const texts = [...root.getElementsByTagName('text')].map(({ textContent }) => textContent!);
      expect(root.getAttribute('aria-label')).toContain(texts[0].trim().replace('…', ''));
      // A unit in brackets, or a part of a whole; the knob's unit is the user's.
      expect(
        texts.some((text) => /\((ms|s|min|h|d|[kMGTP]?B)\)|^Part of|\bTraffic|^Time$|^Samples a second/.test(text)),
        name,
      ).toBe(true);
    }
  });
});

test('names that begin alike are told apart where they are cut', () => {
  const given = exampleResult({ arms: 2, seeds: 1, nodes: 4 });
  const names = ['1', '0.8'].map((quorum) => `diloco int8 localSteps 10 quorum ${quorum} batch 8 and no more than that`);
  const arms = given.arms.map((arm, i) => ({ ...arm, name: names[i]! }));
  const svg = writeReport({ ...given, arms }).get('charts/time-shares.svg')!;
  const cut = [...svg.matchAll(/>([^<]*…[^<]*)</g)].map(([, text]) => text);
  expect(new Set(cut).size).toBe(2);
});

test('a fleet that hardly computes has its colours spread over the little that it does', () => {
  const given = exampleResult({ arms: 2, seeds: 1, nodes: 100 });
  const colours = (part: number) => {
    const arms = given.arms.map((arm) => {
      const outcome = arm.outcome as BenchOutcome;
      const rows = outcome.utilisation.rows.map((row) => row.map((value) => value && value * part));
      return { ...arm, outcome: { ...outcome, utilisation: { ...outcome.utilisation, rows } } };
    });
    const svg = [...writeReport({ ...given, arms })].find(([name]) => name.startsWith('charts/utilisation-1-'))![1];
    return { scale: /\d+ % of the time computing/.exec(svg)![0], shapes: svg.split('<rect').length };
  };
  const [much, little] = [colours(1), colours(0.02)];
  expect([much.scale, little.scale]).toEqual(['100 % of the time computing', '2 % of the time computing']);
  expect(little.shapes).toBe(much.shapes);
});

test('what is written along an axis on the left is beside its ticks, however long these are', () => {
  const given = exampleResult({ arms: 3, seeds: 1, nodes: 4, knobs: KNOBS });
  const arms = given.arms.map((arm, i) => {
    const outcome = arm.outcome as BenchOutcome;
    return { ...arm, outcome: { ...outcome, summary: { ...outcome.summary, timeToTargetMs: 60_000 * (8 + 20 * i) } } };
  });
  const svg = writeReport({ ...given, arms }).get('charts/sensitivity.svg')!;
  const texts = [...new DOMParser().parseFromString(svg, 'image/svg+xml').getElementsByTagName('text')];
  const label = texts.find(({ textContent }) => textContent === 'Time')!;
  const ticks = texts.filter(({ textContent }) => / min$/.test(textContent!));
  expect(ticks.map(({ textContent }) => textContent)).toContain('50 min');
  for (const tick of ticks) expect(acrossOf(tick) - textWidth(tick.textContent!)).toBeGreaterThanOrEqual(acrossOf(label) + FONT_SIZE);
});

/** Pixels from the left. */
function acrossOf(element: Element): number {
  const own = Number(/translate\(([-\d.]+)/.exec(element.getAttribute('transform') ?? '')?.[1] ?? 0);
  return own + (element.parentNode?.nodeType === element.nodeType ? acrossOf(element.parentNode as Element) : 0);
}

test('markup in names stays text everywhere', () => {
  const files = writeReport(CASES['names that are markup']);
  for (const [name, text] of files) if (!name.endsWith('.csv')) expect(text, name).not.toContain('<script>alert');
  // Nothing but letters, digits and the dash of a name comes into a path.
  for (const name of files.keys()) expect(name).toMatch(/^(charts|series)?\/?[a-z0-9.-]+$/);
});

test('CSV gives back the numbers to the last bit', () => {
  const result = CASES['a sweep with three seeds'];
  const files = writeReport(result);
  const done = result.arms.filter((arm): arm is typeof arm & { outcome: BenchOutcome } => arm.outcome.status === 'done');
  const numbers = (file: string, column: string): number[] =>
    csvParse(files.get(`series/${file}.csv`)!).map((row) => (row[column] === '' ? NaN : Number(row[column])));
  expect(numbers('loss', 'loss')).toEqual(done.flatMap(({ outcome }) => outcome.loss.map(({ loss }) => loss)));
  expect(numbers('loss', 'bytes')).toEqual(done.flatMap(({ outcome }) => outcome.loss.map(({ bytes }) => bytes)));
  expect(numbers('spans', 'toMs')).toEqual(done.flatMap(({ outcome }) => outcome.spans.map(({ toMs }) => toMs)));
  expect(numbers('nodes', 'computeMs')).toEqual(done.flatMap(({ outcome }) => outcome.nodes.map(({ computeMs }) => computeMs)));
  expect(numbers('utilisation', 'window_7')).toEqual(done.flatMap(({ outcome }) => outcome.utilisation.rows.map((row) => row[7] ?? NaN)));
  expect(numbers('arms', 'costDollars')).toEqual(
    result.arms.map(({ outcome }) => (outcome.status === 'done' ? outcome.summary.costDollars : NaN)),
  );
  expect(csvParse(files.get('series/arms.csv')!).map(({ arm, knob, setting_codec, status }) => [arm, knob, setting_codec, status])).toEqual(
    result.arms.map(({ name, knob, settings, outcome }) => [name, knob, settings.codec, outcome.status]),
  );
  const fleet = csvParse(files.get('series/fleet.csv')!);
  expect(fleet.map(({ seed, knob, node }) => [Number(seed), knob, node])).toEqual(result.links.flatMap(({ seed, knob }) => result.nodes.map(({ name }) => [seed, knob, name])));
  expect(numbers('fleet', 'upBitsPerSecond')).toEqual(result.links.flatMap(({ links }) => links.map(({ up }) => up)));
});

test('the winner comes first, with why; what was refused says why', () => {
  const result = CASES['a sweep with three seeds'];
  const page = writeReport(result).get('report.html')!;
  const [second] = result.arms.filter(({ name }) => name !== result.winner!.arm);
  const crowned = writeReport({ ...result, winner: { arm: second.name, reason: 'because' } }).get('report.html')!;
  const first = (html: string): string => /<tbody>\s*<tr>[^]*?<\/i>([^<]*)</.exec(html)![1];
  expect(first(page)).toBe(result.winner!.arm);
  expect(first(crowned)).toBe(second.name);
  expect(crowned).toContain('<p>because</p>');
  expect(page).toContain('At link.up = 20mbit');
  expect(page).toContain('no node holds stage 2 of 4');
  expect(page.replace(/\s+/g, ' ')).toContain('at 5mbit, seeds 1, 2, 3');
});

test('what virtual time said of live arms stands beside them, and in a series of its own', () => {
  const { arms, ...rest } = exampleResult({ arms: 2, seeds: 2, nodes: 4 });
  const slower = (arm: BenchResult['arms'][number]): BenchResult['arms'][number] => {
    const outcome = arm.outcome as BenchOutcome;
    return { ...arm, outcome: { ...outcome, summary: { ...outcome.summary, wallMs: 1.1 * outcome.summary.wallMs } } };
  };
  const files = writeReport({ ...rest, mode: 'live', arms, predicted: arms.map(slower) });
  const page = files.get('report.html')!.replace(/\s+/g, ' ');
  expect(page).toContain("Rounds are predicted within 10.0 % on average; the order of the arms by samples a second has Kendall&#39;s τ 1.00.");
  expect(page.match(/, \+10\.0 %/g)).toHaveLength(4);
  const series = csvParse(files.get('series/predictions.csv')!).filter(({ figure }) => figure === 'round ms');
  expect(series.map(({ arm, seed, error }) => [arm, Number(seed), Number(error)])).toEqual(arms.map(({ name, seed }) => [name, seed, expect.closeTo(0.1)]));
  expect(writeReport({ ...rest, arms }).has('series/predictions.csv')).toBe(false);
});

test('a bench in which no arm ran is reported all the same', () => {
  const one = CASES['two arms on four nodes'];
  const outcome = { status: 'failed', reason: 'the disk is full' } as const;
  const files = writeReport({ ...one, winner: undefined, arms: one.arms.map((arm) => ({ ...arm, outcome })) });
  expect(files.get('report.html')).toContain('No arm ran');
  expect(files.get('report.html')).toContain('the disk is full');
  expect(svgOf(files)).toEqual([]);
});

test('a target that some seeds missed is not a time, and figures that are null in JSON are gaps', () => {
  const one = CASES['two arms on four nodes'];
  const lame = one.arms.map((arm) => {
    const outcome = arm.outcome as BenchOutcome;
    const summary = {
      ...outcome.summary,
      timeToTargetMs: null as unknown as undefined,
      finalLoss: null as unknown as undefined,
      bubble: NaN,
    };
    return {
      ...arm,
      seed: 2,
      outcome: {
        ...outcome,
        summary,
        loss: outcome.loss.map((point, i) => (i % 3 === 0 ? { ...point, loss: null as unknown as number } : point)),
      },
    };
  });
  const some = writeReport({ ...one, arms: [...one.arms, ...lame.slice(0, 1)] });
  expect(some.get('charts/time-to-loss.svg')).toContain('not reached');
  expect(writeReport({ ...one, arms: lame }).has('charts/throughput.svg')).toBe(true);
  const short = one.arms.map((arm) => ({ ...arm, outcome: { ...(arm.outcome as BenchOutcome), summary: { ...(arm.outcome as BenchOutcome).summary, timeToTargetMs: undefined } } }));
  expect(writeReport({ ...one, arms: short }).get('charts/final-loss.svg')).toContain('nobody reached 0.8');
  expect(some.get('report.html')!.replace(SCRIPTS, '')).not.toMatch(NO_NUMBER);
});
