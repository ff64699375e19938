import {
  codecBits,
  formatBitRate,
  formatMilliseconds,
  type ChooseSync,
  type CodingTime,
  type Job,
  type SyncChoice,
  type SyncExchange,
  type SyncFleet,
  type SyncLink,
} from '@longtail/core';

/** A way to exchange, without its arithmetic. */
type Way = Pick<SyncChoice, 'strategy' | 'localSteps' | 'fragments' | 'codec' | 'downCodec'>;

/** What an exchange may take of a round in which nothing is computed meanwhile. */
const EXCHANGE_PART = 0.05;
/** And of one in which groups step on: what it strays by must not let them wait. */
const OVERLAPPED_PART = 0.8;
/** What was chosen stays while links a quarter faster or slower would not have had it otherwise. */
const HYSTERESIS = 1.25;

/** From what costs no tokens to what costs most; see `chooseSync`. `streaming-diloco` has the place of `diloco` in int4 where no group is a pipeline. */
const LADDER: readonly Way[] = [
  { strategy: 'bsp', codec: 'fp32', downCodec: 'fp32' },
  { strategy: 'bsp', codec: 'bf16', downCodec: 'bf16' },
  { strategy: 'bsp', codec: 'int8', downCodec: 'int8' },
  { strategy: 'bsp', codec: 'int4', downCodec: 'int8' },
  ...local({ strategy: 'diloco', codec: 'int8', downCodec: 'int8' }, 3, 20),
  ...local({ strategy: 'streaming-diloco', fragments: 4, codec: 'int4', downCodec: 'int8' }, 21, 100),
  ...local({ strategy: 'diloco', codec: 'int4', downCodec: 'int8' }, 21, 100),
  ...local({ strategy: 'sparse-diloco', codec: 'top-k', downCodec: 'int4' }, 100, 500),
];

function local(way: Omit<Way, 'localSteps'>, least: number, most: number): readonly Way[] {
  return Array.from({ length: most - least + 1 }, (_, i) => ({ ...way, localSteps: least + i }));
}

/**
 * The first way on a ladder whose exchange, coding included, is hidden behind compute on every link (DESIGN.md section 2). Where none is: the
 * last one, in the codec with the shortest exchange, as coding may take longer than the bits that it saves.
 * Steps that are exchanged one by one cost fewest tokens, then few local steps, then many; a codec costs the less the more
 * bits it has. Each way on the ladder sends no more bits for a step than the one before, up and down: a slower link never
 * gets more of them.
 *
 * Where nothing is computed during an exchange, hidden means 5 % of a round; where groups step on meanwhile, 80 % of that time.
 */
export const chooseSync: ChooseSync = (job, fleet, standing) => {
  const ways = LADDER.filter((way) => mayUse(job, fleet, way, standing));
  const at = (slowed: number) => firstHidden(ways, job, slowedDown(fleet, slowed));
  const kept = standing === undefined ? -1 : ways.findIndex((way) => same(way, standing));
  const bounds = [at(1 / HYSTERESIS), at(HYSTERESIS)];
  const stays = kept >= Math.min(...bounds) && kept <= Math.max(...bounds);
  const index = stays ? kept : at(1);
  return weighed(ways, index, job, fleet, standing);
};

/** What the server steps with cannot change while it trains; Muon is for matrices, which it does not know. Local steps are for those who have room for them. */
function mayUse({ train: { optimizer } }: Job, fleet: SyncFleet, way: Way, standing: SyncChoice | undefined): boolean {
  const streams = fleet.groups.every(({ links }) => links.length === 1);
  if (streams ? way.strategy === 'diloco' && way.codec === 'int4' : way.fragments !== undefined) return false;
  if (standing !== undefined) return isLocal(way) === isLocal(standing);
  const isMuon = optimizer.type === 'adam' && optimizer.muon !== undefined;
  return isLocal(way) ? isMuon || withoutRoom(fleet).length === 0 : !isMuon;
}

function withoutRoom({ groups }: SyncFleet): readonly string[] {
  return groups.flatMap(({ links }) => links.filter(({ mayStep = true }) => !mayStep).map(({ name }) => name));
}

/** Why nothing further down on the ladder was to be had. */
function stuckAt(way: Way, fleet: SyncFleet, standing: SyncChoice | undefined): string {
  if (isLocal(way)) return 'nothing sends less';
  if (standing !== undefined) return 'what the server steps with cannot change';
  const names = withoutRoom(fleet);
  return `${names.join(', ')} ${names.length === 1 ? 'has no room for an optimizer of its' : 'have no room for an optimizer of their'} own`;
}

function isLocal({ localSteps }: Way): boolean {
  return localSteps !== undefined;
}

function same(a: Way, b: Way): boolean {
  return a.strategy === b.strategy && a.localSteps === b.localSteps && a.codec === b.codec;
}

function slowedDown({ groups, server, coding }: SyncFleet, times: number): SyncFleet {
  const rates = <Some extends Rates>(link: Some) => ({ ...link, upBitsPerSecond: link.upBitsPerSecond / times, downBitsPerSecond: link.downBitsPerSecond / times });
  const slower = (link: SyncLink): SyncLink => ({ ...rates(link), roundTripMs: link.roundTripMs * times });
  return { groups: groups.map((group) => ({ ...group, links: group.links.map(slower) })), server: server && rates(server), coding };
}

type Rates = Pick<SyncLink, 'upBitsPerSecond' | 'downBitsPerSecond'>;

function firstHidden(ways: readonly Way[], job: Job, fleet: SyncFleet): number {
  const longestOf = new Map<string, number>();
  const longestMs = (way: Way): number => {
    const key = `${way.strategy} ${way.codec}`;
    if (!longestOf.has(key)) longestOf.set(key, msOf(longest(exchangesOf(fleet, way))));
    return longestOf.get(key)!;
  };
  const index = ways.findIndex((way) => longestMs(way) <= allowedMsOf(way, computeMsOf(job, fleet, way)));
  if (index >= 0) return index;
  const last = ways.at(-1)!;
  const asSeldom = ways.filter(({ strategy, localSteps }) => strategy === last.strategy && localSteps === last.localSteps);
  return ways.indexOf(asSeldom.reduce((best, way) => (longestMs(way) <= longestMs(best) ? way : best)));
}

/** Samples of a local step: what the job says, or its part of the batch that is for a step of all. */
function localBatchOf({ train, sync }: Job, { groups }: SyncFleet): number {
  return sync.localBatch ?? Math.max(1, Math.round(train.batch / groups.length));
}

/** What is computed between two exchanges: a batch by all groups together, or smaller ones of its own by the fastest. */
function computeMsOf(job: Job, fleet: SyncFleet, { localSteps }: Way): number {
  const { groups } = fleet;
  if (localSteps !== undefined) return localSteps * localBatchOf(job, fleet) * Math.min(...groups.map(({ msPerSample }) => msPerSample));
  return job.train.batch / groups.reduce((sum, { msPerSample }) => sum + 1 / msPerSample, 0);
}

function allowedMsOf({ fragments }: Way, computeMs: number): number {
  return computeMs * (fragments === undefined ? EXCHANGE_PART / (1 - EXCHANGE_PART) : OVERLAPPED_PART);
}

type Times = Pick<SyncExchange, 'name' | 'upMs' | 'downMs' | 'roundTripMs' | 'codingMs'>;

function msOf({ upMs, downMs, roundTripMs, codingMs }: Times): number {
  return upMs + downMs + roundTripMs + codingMs;
}

const NO_TIME: CodingTime = { encodeMs: 0, decodeMs: 0 };

/**
 * Of each link; what all send together has to pass the server's. Its worker codes what goes up and decodes what comes down, the server decodes
 * what all send and codes its parameters once. Chunks are coded while others travel: the sum is what it takes at most.
 */
function exchangesOf({ groups, server, coding }: SyncFleet, { codec, downCodec, fragments = 1 }: Way): readonly Times[] {
  const links = groups.flatMap((group) => group.links);
  const sum = (some: readonly SyncLink[]) => some.reduce((all, link) => all + link.values, 0);
  const values = sum(links);
  const model = Math.max(...groups.map((group) => sum(group.links)));
  const shared = (bits: number, rate: number | undefined) => (rate === undefined ? 0 : (1000 * bits * values) / rate);
  const { [codec]: up = NO_TIME, [downCodec]: down = NO_TIME } = coding ?? {};
  const [upBits, downBits] = [codecBits(codec), codecBits(downCodec)];
  const [sharedUpMs, sharedDownMs] = [shared(upBits, server?.downBitsPerSecond), shared(downBits, server?.upBitsPerSecond)];
  return links.map((link) => ({
    name: link.name,
    upMs: Math.max(sharedUpMs, (1000 * upBits * link.values) / link.upBitsPerSecond),
    downMs: Math.max(sharedDownMs, (1000 * downBits * link.values) / link.downBitsPerSecond),
    roundTripMs: fragments * link.roundTripMs,
    codingMs: (link.values * (up.encodeMs + down.decodeMs) + values * up.decodeMs + model * down.encodeMs) / 1e6,
  }));
}

function weighed(ways: readonly Way[], index: number, job: Job, fleet: SyncFleet, standing: SyncChoice | undefined): SyncChoice {
  const way = ways[index]!;
  const computeMs = computeMsOf(job, fleet, way);
  const exchanges = exchangesOf(fleet, way).map((times) => ({ ...times, hidden: msOf(times) <= allowedMsOf(way, computeMs) }));
  // What comes before it on the ladder and is not it with fewer local steps.
  const before = ways.slice(0, index).findLast(({ strategy, codec }) => strategy !== way.strategy || codec !== way.codec);
  const own = isLocal(way) ? { localBatch: localBatchOf(job, fleet) } : undefined;
  const sentences = [
    `${nameOf(way)}${own === undefined ? '' : `, batches of ${own.localBatch}`}: ${arithmetic(way, computeMs, longest(exchanges), fleet)}`,
    ...(before === undefined ? [] : [`${nameOf(before)} would wait ${beside(before, computeMsOf(job, fleet, before), longest(exchangesOf(fleet, before)))}`]),
    ...exposed(exchanges, stuckAt(way, fleet, standing)),
  ];
  return { ...way, ...own, computeMs, exchanges, reason: sentences.join('; ') };
}

function nameOf({ strategy, localSteps, codec }: Way): string {
  return localSteps === undefined ? `${strategy}, ${codec}` : `${strategy}, H = ${localSteps}, ${codec}`;
}

function longest<Some extends Times>(exchanges: readonly Some[]): Some {
  return exchanges.reduce((most, exchange) => (msOf(exchange) > msOf(most) ? exchange : most));
}

/** `one exchange of 2.9 s beside 40 steps of 1.4 s, 4.9 % of a round (d: 2.0 s up at 20 Mbit/s, 800 ms down at 100 Mbit/s, 40 ms there and back, 20 ms to code)`. */
function arithmetic(way: Way, computeMs: number, exchange: Times, { groups }: SyncFleet): string {
  const link = groups.flatMap(({ links }) => links).find(({ name }) => name === exchange.name)!;
  const { upMs, downMs, roundTripMs, codingMs, name } = exchange;
  const up = `${formatMilliseconds(upMs)} up${rate(link, way.codec, upMs)}`;
  const down = `${formatMilliseconds(downMs)} down${rate(link, way.downCodec, downMs)}`;
  const coding = codingMs === 0 ? '' : `, ${formatMilliseconds(codingMs)} to code`;
  const part = way.fragments === undefined ? msOf(exchange) / (msOf(exchange) + computeMs) : msOf(exchange) / computeMs;
  const of = way.fragments === undefined ? 'a round' : `their time, in ${way.fragments} fragments while they are taken`;
  return `one exchange of ${beside(way, computeMs, exchange)}, ${(100 * part).toFixed(1)} % of ${of} (${name}: ${up}, ${down}, ${formatMilliseconds(roundTripMs)} there and back${coding})`;
}

function rate({ values }: SyncLink, codec: Way['codec'], ms: number): string {
  return ` at ${formatBitRate((1000 * values * codecBits(codec)) / ms)}`;
}

function beside({ localSteps }: Way, computeMs: number, exchange: Times): string {
  const [exchangeMs, stepMs] = [msOf(exchange), computeMs / (localSteps ?? 1)].map(formatMilliseconds);
  return `${exchangeMs} beside ${localSteps === undefined ? 'a step' : `${localSteps} steps`} of ${stepMs}`;
}

/** Those whose exchange costs more, though there is nothing further down on the ladder. */
function exposed(exchanges: readonly SyncExchange[], stuck: string): readonly string[] {
  const names = exchanges.filter(({ hidden }) => !hidden).map((exchange) => `${exchange.name} (${formatMilliseconds(msOf(exchange))})`);
  return names.length === 0 ? [] : [`not hidden, as ${stuck}: ${names.join(', ')}`];
}
