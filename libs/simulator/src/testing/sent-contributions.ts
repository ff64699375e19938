import { joinLayouts, standingEvents, type ParameterLayout, type RecordedChunk, type RunEvent, type StoredEvent, type TensorChunk } from '@longtail/core';
import { createCodec, createKernels } from '@longtail/kernels';
import { Replay, type ShardState } from '@longtail/runtime';
import { referenceArithmetic } from '../arithmetic.js';
import type { Scenario } from '../scenario.js';

type Contribution = Extract<RunEvent, { readonly event: 'contribution' }>;
type Commit = Extract<RunEvent, { readonly event: 'commit' }>;
type Tensors = ReadonlyMap<number, readonly TensorChunk[]>;

const exact = createCodec('fp32', createKernels({ implementation: 'reference' }));

/** By node, round and kind. */
type Sent = ReadonlyMap<string, Tensors>;

/**
 * Keeps what the workers of a run sent, before anything happens to it, and recomputes every version from that and the event
 * log: what was tampered with on its way would show.
 */
export class SentContributions {
  private readonly sent = new Map<string, Map<number, TensorChunk[]>>();
  /** As each commit left them, and what had been sent by then. */
  private readonly commits = new Map<RunEvent, { readonly bits: Float32Array; readonly sent: Sent }>();

  readonly hooks: Pick<Scenario, 'sent' | 'committed'> = {
    sent: (node, { header, payload }) => {
      const key = `${node}/${header.round}/${header.kind}`;
      let tensors = this.sent.get(key);
      // A node that was lost may be given a round anew.
      if (tensors === undefined || [...tensors.values()][0]!.find(Boolean)!.header.task !== header.task) tensors = new Map<number, TensorChunk[]>();
      const chunks = tensors.get(header.fragment) ?? [];
      chunks[header.chunk] = { header, payload: payload.slice() };
      this.sent.set(key, tensors.set(header.fragment, chunks));
    },
    committed: (commit, _nowMs, parameters) => this.commits.set(commit, { bits: parameters(), sent: new Map(this.sent) }),
  };

  /** The first version whose bits are not those of the server; undefined: all are. */
  firstDifference(scenario: Scenario, events: readonly StoredEvent[]): string | undefined {
    const replay = replayOf(scenario);
    const stages = new Stages(scenario);
    let accepted: Contribution[] = [];
    for (const { body } of standingEvents(events)) {
      if (body.event === 'layout') stages.lay(body);
      if (body.event === 'resumed') accepted = [];
      if (body.event === 'contribution' && body.accepted) accepted.push(body);
      if (body.event !== 'commit') {
        replay.take(body);
        continue;
      }
      const { bits: live, sent } = this.commits.get(body)!;
      replay.commit(body, chunksOf(body, accepted, sent, stages));
      accepted = [];
      const difference = differenceFrom(replay, live);
      if (difference !== undefined) return `version ${body.version} (${body.reason}): ${difference}`;
    }
    return undefined;
  }
}

/** `from`: what the run began with, by default what its seed says. */
export function replayOf({ job, model, arithmetic = referenceArithmetic }: Scenario, from?: ShardState): Replay {
  from ??= { parameters: model.initial(job.train.seed), state: [], steps: 0 };
  return new Replay({ job, exact, from, createShard: (optimizer) => arithmetic.createShard(model.layout.length, optimizer) });
}

/** Of the server's parameters. */
export function differenceFrom({ shard }: Replay, live: Float32Array): string | undefined {
  const replayed = new Float32Array(shard.length);
  shard.readParameters(replayed);
  const at = live.findIndex((value, i) => !Object.is(value, replayed[i]));
  return at < 0 ? undefined : `parameter ${at} is ${live[at]}, replayed ${replayed[at]}`;
}

function* chunksOf(commit: Commit, accepted: readonly Contribution[], sent: Sent, stages: Stages): Generator<RecordedChunk> {
  const sentIn = ({ node, round }: Contribution, kind: RecordedChunk['kind']): Tensors => sent.get(`${node}/${round}/${kind}`) ?? new Map();
  const kinds = commit.soloSteps === undefined ? (['gradient'] as const) : (['parameters', 'state'] as const);
  for (const kind of kinds) {
    const tensors = accepted.map((contribution) => sentIn(contribution, kind));
    for (const index of commit.fragments ?? [...new Set(tensors.flatMap((each) => [...each.keys()]))].sort((a, b) => a - b)) {
      const holders = [...tensors.keys()].filter((part) => tensors[part]!.has(index));
      const first = tensors[holders[0]!]!.get(index)!;
      const from = stages.placeOf(accepted[holders[0]!]!, first[0]!.header.start);
      for (const [chunk, { header }] of first.entries()) {
        const parts = holders.map((part) => {
          const { header, payload } = tensors[part]!.get(index)![chunk]!;
          return { part, codecId: header.codec, bytes: payload };
        });
        yield { kind, index, offset: from + header.offset, length: header.length, parts };
      }
    }
  }
}

/** Where workers' vectors lie in the model's. */
class Stages {
  /** Of workers that hold stages, by group and node. */
  private readonly layouts = new Map<string, ParameterLayout>();

  constructor(private readonly scenario: Scenario) {}

  lay({ groups }: Extract<RunEvent, { readonly event: 'layout' }>): void {
    const { blocks } = this.scenario.model;
    for (const { group, stages } of groups) {
      for (const { node } of stages) {
        const held = stages.filter((stage) => stage.node === node).map(({ start, end }) => blocks!.layout({ start, end }));
        this.layouts.set(`${group}/${node}`, joinLayouts(held));
      }
    }
  }

  /** In the model's vector, of a place in a worker's. */
  placeOf({ node, stage }: Contribution, start: number): number {
    if (stage === undefined) return start;
    const held = this.layouts.get(`${stage.group}/${node}`)!;
    const slot = held.slots.find(({ offset, length }) => start >= offset && start < offset + length)!;
    return this.scenario.model.layout.slots.find(({ name }) => name === slot.name)!.offset + start - slot.offset;
  }
}
