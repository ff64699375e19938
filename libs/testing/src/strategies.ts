import {
  codecBits,
  downCodecOf,
  type CodecName,
  type Job,
  type RunEvent,
  type RunEventName,
  type StrategyName,
} from '@longtail/core';
import { afterAll, expect, it } from 'vitest';

/** Of a job's `sync` what the table says. */
export type SyncRow = { readonly strategy: StrategyName; readonly downCodec: CodecName } & Pick<Job['sync'], 'codec' | 'localSteps' | 'fragments' | 'staleness' | 'quorum' | 'graceMs' | 'topK'>;

/** One job from launch to verdict, as its server and its workers tell it. */
export interface TrainedRun {
  readonly events: readonly RunEvent[];
  /** By worker. */
  readonly notes: ReadonlyMap<string, readonly WorkerNote[]>;
  /** CRC-32C of what the server takes all workers to hold at the end, in float32; undefined where it keeps that to itself. */
  readonly view: number | undefined;
}

/** The parts of a worker's events that are looked at. */
export interface WorkerNote {
  readonly event: string;
  readonly task?: number;
  readonly kind?: string;
  readonly accepted?: boolean;
  readonly weight?: number;
  readonly staleness?: number;
  readonly reason?: string;
  readonly held?: { readonly version: number; readonly crc: number };
}

/** A fleet of at least two workers that trains a classifier, always the same, from the start. */
export interface StrategySubject {
  train(sync: SyncRow): Promise<TrainedRun>;
  /** That a run applies. */
  readonly samples: number;
  /** Of the model. */
  readonly parameters: number;
  /** Values a chunk. */
  readonly chunkLength: number;
  /** Before training: of guessing. */
  readonly firstLoss: number;
}

/** Every strategy, and what it is called; a new one is a line here. */
const STRATEGIES: Readonly<Record<string, Omit<SyncRow, 'codec' | 'downCodec' | 'topK'>>> = {
  bsp: { strategy: 'bsp' },
  // Whoever is slow on a busy machine is waited for.
  'bsp with a quorum': { strategy: 'bsp', quorum: 0.5, graceMs: 60_000 },
  ssp: { strategy: 'ssp', staleness: 1 },
  asp: { strategy: 'asp' },
  diloco: { strategy: 'diloco', localSteps: 4 },
  'sparse-diloco': { strategy: 'sparse-diloco', localSteps: 4 },
  'streaming-diloco': { strategy: 'streaming-diloco', localSteps: 4, fragments: 2 },
  'ssp with local steps': { strategy: 'ssp', staleness: 1, localSteps: 4 },
  'asp with local steps': { strategy: 'asp', localSteps: 4 },
};

const CODECS: readonly CodecName[] = ['fp32', 'fp16', 'bf16', 'int8', 'int4', 'int2', 'sign', 'top-k'];

const topK = { density: 0.1, values: 'int2', selection: 'exact' } as const;

/** Groups of these commit together, and nobody is a version behind. */
const IN_ROUNDS: readonly StrategyName[] = ['bsp', 'diloco', 'sparse-diloco'];

/** Scales and heads on top of a codec's bits a value. */
const CODED = { part: 0.05, bytesAChunk: 32 };
/** What frames and acknowledgements take beside a chunk. */
const FRAMED_BYTES = 1024;

/** Which codecs, up and down, a strategy is tried with; `place` is its place among all. */
type CodecPairs = (strategy: StrategyName, place: number) => readonly (readonly [up: CodecName, down: CodecName])[];

/** Each goes both ways. */
export const EVERY_CODEC: CodecPairs = () => CODECS.map((codec) => [codec, codec] as const);

const HALF = CODECS.length / 2;
const FINE_UP = CODECS.slice(0, HALF).map((codec, i) => [codec, CODECS[HALF + i]!] as const);
const COARSE_UP = FINE_UP.map(([up, down]) => [down, up] as const);

/**
 * Each goes one way, and what comes back is coded otherwise: half of the runs. Strategies of a kind, that send gradients or
 * differences, take turns, so that a kind has each codec both ways; a stream is the only one of its kind.
 */
export const EVERY_CODEC_ONE_WAY: CodecPairs = (strategy, place) => (strategy === 'streaming-diloco' ? [...FINE_UP, ...COARSE_UP] : place % 2 === 0 ? FINE_UP : COARSE_UP);

/** What training holds to whatever its strategy and its codecs, up and down, live or simulated: a test a combination. */
export function strategyConformance(name: string, subject: StrategySubject, codecs: CodecPairs): void {
  const combinations = Object.entries(STRATEGIES).flatMap(([called, row], place) => codecs(row.strategy, place).map(([up, down]) => [called, up, down] as const));
  /** By run: most workers that had a part in one validation. */
  const validators: number[] = [];
  // Who is slow on a busy machine may have no part in those of a run, of all runs hardly.
  afterAll(() => expect(validators.filter((count) => count > 1).length).toBeGreaterThanOrEqual(validators.length / 2));
  it.each(combinations)(`${name}: %s with %s up and %s down keeps what training promises`, async (called, codec, downCodec) => {
    const sync: SyncRow = { ...STRATEGIES[called]!, codec, downCodec, ...([codec, downCodec].includes('top-k') && { topK }) };
    const run = await subject.train(sync);
    appliesEverySampleOnce(run, subject);
    learns(run, subject);
    givesReasons(run);
    answersEveryContribution(run);
    validators.push(holdsTheSameBitsEverywhere(run));
    sendsWhatTheCodecPromises(run, sync, subject);
  });
}

type EventOf<Name extends RunEventName> = Extract<RunEvent, { event: Name }>;

function eventsOf<Name extends RunEventName>({ events }: TrainedRun, name: Name): readonly EventOf<Name>[] {
  return events.filter((event): event is EventOf<Name> => event.event === name);
}

function appliesEverySampleOnce(run: TrainedRun, { samples }: StrategySubject): void {
  const [verdict] = eventsOf(run, 'verdict');
  expect(verdict).toMatchObject({ status: 'succeeded', samples: { applied: samples, lost: 0 } });
  const accepted = eventsOf(run, 'contribution').filter((contribution) => contribution.accepted);
  expect(sum(accepted.map((contribution) => contribution.samples))).toBe(samples);
  expect(sum(eventsOf(run, 'commit').map((commit) => commit.samples))).toBe(samples);
}

function learns(run: TrainedRun, { firstLoss }: StrategySubject): void {
  expect(eventsOf(run, 'validation').at(-1)!.loss).toBeLessThan(0.7 * firstLoss);
}

function givesReasons(run: TrainedRun): void {
  const decisions = [...eventsOf(run, 'commit'), ...eventsOf(run, 'shares'), ...eventsOf(run, 'lease_returned')];
  const refusals = eventsOf(run, 'contribution').filter(({ accepted }) => !accepted);
  for (const decision of [...decisions, ...refusals]) expect(decision.reason, JSON.stringify(decision)).not.toBe('');
}

function answersEveryContribution(run: TrainedRun): void {
  const contributors = new Set(eventsOf(run, 'contribution').map((contribution) => contribution.name));
  expect([...run.notes.keys()]).toEqual(expect.arrayContaining([...contributors]));
  // Who is slow on a busy machine may have no part in it.
  expect(contributors.size).toBeGreaterThan(1);
  for (const [name, notes] of run.notes) {
    const receipts = notes.filter(({ event }) => event === 'receipt');
    const settled = eventsOf(run, 'contribution').filter((contribution) => contribution.name === name);
    expect(receipts.map(outcomeOf), name).toEqual(settled.map(outcomeOf));
    const answered = new Set(receipts.map(({ task }) => task));
    const delivered = notes.filter(({ event, kind }) => event === 'done' && (kind === 'GRADIENT' || kind === 'DELTA' || kind === 'STREAM'));
    for (const { task } of delivered) expect(answered, `${name}, task ${task}`).toContain(task);
  }
}

function outcomeOf({ accepted, weight, staleness, reason }: WorkerNote): object {
  return { accepted, weight, staleness, reason };
}

/** Returns how many held the version that most of them validated. */
function holdsTheSameBitsEverywhere(run: TrainedRun): number {
  const held = [...run.notes.values()].flatMap((notes) => notes.flatMap((note) => note.held ?? []));
  const validated = eventsOf(run, 'validation').map(({ version }) => version);
  const crcsOf = (version: number) => held.filter((one) => one.version === version).map(({ crc }) => crc);
  for (const version of validated) expect(new Set(crcsOf(version)).size, `version ${version}`).toBe(1);
  if (run.view !== undefined) expect(crcsOf(validated.at(-1)!)[0]).toBe(run.view);
  return Math.max(...validated.map((version) => crcsOf(version).length));
}

function sendsWhatTheCodecPromises(run: TrainedRun, { strategy, ...sync }: SyncRow, { parameters, chunkLength }: StrategySubject): void {
  const chunks = Math.ceil(parameters / chunkLength);
  const promised = (codec: CodecName) => (parameters * codecBits(codec, sync.topK)) / 8;
  const most = (codec: CodecName, part = 1) => (1 + CODED.part) * part * promised(codec) + CODED.bytesAChunk * chunks;
  const least = (1 - CODED.part) * promised(sync.codec);
  // A contribution is of one fragment, or of several at the end of a phase.
  const { fragments = 1 } = sync;
  const parts = Array.from({ length: fragments }, (_, i) => (i + 1) / fragments);
  const whole = 4 * parameters;
  const wholeFramed = whole + FRAMED_BYTES * chunks;
  const version = most(downCodecOf({ strategy, ...sync } as Job['sync'])) + FRAMED_BYTES * chunks;
  const versions = eventsOf(run, 'commit').length;
  for (const name of run.notes.keys()) {
    const mine = eventsOf(run, 'contribution').filter((contribution) => contribution.name === name);
    let brought = 0;
    for (const { bytesSaved } of mine.filter(({ accepted }) => accepted)) {
      const coded = parts.map((part) => ({ part, bytes: part * whole - bytesSaved! })).find(({ part, bytes }) => bytes > part * least && bytes <= most(sync.codec, part))?.bytes;
      expect(coded, `up, ${bytesSaved} saved`).toBeDefined();
      brought += coded!;
    }
    expect(sum(mine.map(({ bytesUp }) => bytesUp)), 'up').toBeGreaterThanOrEqual(brought);
    // The first parameters come whole; so may those of who fell behind, which nobody does in rounds.
    const once = versions * version;
    const down = IN_ROUNDS.includes(strategy) ? once : Math.max(once, mine.length * wholeFramed);
    expect(sum(mine.map(({ bytesDown }) => bytesDown)), 'down').toBeLessThanOrEqual(2 * wholeFramed + down);
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
