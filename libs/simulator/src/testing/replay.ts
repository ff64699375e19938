import { fragmentsOf, joinLayouts, localStepsOf, outerStepOf, serverOptimizer, standingEvents, type Job, type ParameterLayout, type ParameterShard, type RunEvent, type StoredEvent, type TensorChunk } from '@longtail/core';
import { createCodec, createKernels } from '@longtail/kernels';
import { referenceArithmetic } from '../arithmetic.js';
import type { Scenario } from '../scenario.js';

type Contribution = Extract<RunEvent, { readonly event: 'contribution' }>;
type Commit = Extract<RunEvent, { readonly event: 'commit' }>;
type Tensors = ReadonlyMap<number, readonly TensorChunk[]>;

const fp32 = createCodec('fp32', createKernels({ implementation: 'reference' }));

/** The contribution of a group: one of each of its workers. */
interface Contributed {
  readonly weight: number;
  readonly parts: readonly Contribution[];
  /** That its move of a fragment is of. */
  samplesOf(fragment: number): number;
}

/** Steps of a stream, and the fragments that they were not sent with yet. */
interface Unsent {
  readonly samples: number;
  readonly missing: Set<number>;
}

/** By node, round and kind. */
type Sent = ReadonlyMap<string, Tensors>;

/**
 * Recomputes a run's parameters from its event log and from what its workers sent, as whoever has both could (DESIGN.md
 * section 5, line 2): `hooks` keep them while the run goes on.
 */
export class Replay {
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
    const run = new ReplayedRun(scenario);
    for (const { body } of standingEvents(events)) {
      if (body.event !== 'commit') {
        run.take(body);
        continue;
      }
      const { bits: live, sent } = this.commits.get(body)!;
      run.commit(body, sent);
      const replayed = run.parameters();
      const at = replayed.findIndex((value, i) => !Object.is(value, live[i]));
      if (at >= 0) return `version ${body.version} (${body.reason}): parameter ${at} is ${live[at]}, replayed ${replayed[at]}`;
    }
    return undefined;
  }
}

class ReplayedRun {
  private job: Job;
  private shard: ParameterShard | undefined;
  private accepted: Contribution[] = [];
  private readonly unsent = new Map<string, Unsent[]>();
  private sent: Sent = new Map();
  private commits = 0;
  /** Of workers that hold stages, by group and node. */
  private readonly layouts = new Map<string, ParameterLayout>();

  constructor(private readonly scenario: Scenario) {
    this.job = scenario.job;
  }

  parameters(): Float32Array {
    const values = new Float32Array(this.shard!.length);
    this.shard!.readParameters(values);
    return values;
  }

  take(event: RunEvent): void {
    switch (event.event) {
      case 'sync': {
        const { strategy, localSteps, fragments, codec, downCodec } = event;
        this.job = { ...this.job, sync: { ...this.job.sync, strategy, localSteps, fragments, codec, downCodec } };
        return;
      }
      case 'layout':
        return this.lay(event);
      case 'started':
        return this.begin();
      case 'contribution':
        if (event.accepted) this.accepted.push(event);
        return;
      case 'samples_lost':
        this.unsent.delete(event.node);
        return;
      case 'resumed':
        this.accepted = [];
        this.unsent.clear();
    }
  }

  commit(event: Commit, sent: Sent): void {
    this.sent = sent;
    this.commits++;
    if (event.reason.endsWith('the only worker')) this.bringHome(event, this.accepted[0]!);
    else this.step(event);
    this.accepted = [];
  }

  private begin(): void {
    if (this.commits > 0) return; // a server that goes on from a version
    const { model, arithmetic = referenceArithmetic } = this.scenario;
    this.shard = arithmetic.createShard(model.layout.length, serverOptimizer(this.job));
    this.shard.writeParameters(model.initial(this.job.train.seed));
  }

  private lay({ groups }: Extract<RunEvent, { readonly event: 'layout' }>): void {
    const { blocks } = this.scenario.model;
    for (const { group, stages } of groups) {
      for (const { node } of stages) {
        const held = stages.filter((stage) => stage.node === node).map(({ start, end }) => blocks!.layout({ start, end }));
        this.layouts.set(`${group}/${node}`, joinLayouts(held));
      }
    }
  }

  private step(commit: Commit): void {
    const groups = this.contributed();
    const local = localStepsOf(this.job.sync) !== undefined;
    const scale = (commit.stepScale ?? 1) * (local ? outerStepOf(this.job.sync).learningRate : commit.learningRate);
    const { clipNorm } = this.job.train;
    const clip = !local && clipNorm !== undefined && commit.gradientNorm > clipNorm ? clipNorm / commit.gradientNorm : 1;
    // Those that are exchanged in turn make a step each.
    if (commit.fragments === undefined) this.shard!.beginStep({ learningRate: scale });
    const all = new Set(groups.flatMap(({ parts }) => parts.flatMap((part) => [...this.gradients(part).keys()])));
    for (const fragment of commit.fragments ?? all) {
      if (commit.fragments !== undefined) this.shard!.beginStep({ learningRate: scale });
      const weighted = groups.reduce((sum, { weight, samplesOf }) => sum + weight * samplesOf(fragment), 0);
      this.stepFragment(groups, fragment, clip / weighted, local);
    }
  }

  private stepFragment(groups: readonly Contributed[], fragment: number, scale: number, local: boolean): void {
    const tensors = groups.flatMap(({ weight, samplesOf, parts }) =>
      parts.flatMap((part) => {
        const chunks = this.gradients(part).get(fragment);
        return chunks === undefined ? [] : [{ chunks, part, weight: local ? weight * samplesOf(fragment) : weight }];
      }),
    );
    const { chunks, part } = tensors[0]!;
    const from = this.placeOf(part, chunks[0]!.header.start);
    for (const [i, { header }] of chunks.entries()) {
      const coded = tensors.map((tensor) => ({ bytes: tensor.chunks[i]!.payload, codecId: header.codec, weight: tensor.weight }));
      this.shard!.stepChunk(from + header.offset, header.length, coded, scale);
    }
  }

  /** What a lone worker stepped to is the next version. */
  private bringHome({ reason }: Commit, { node, round }: Contribution): void {
    const shard = this.shard!;
    shard.setSteps(shard.steps + parseInt(reason, 10));
    for (const kind of ['parameters', 'state'] as const) {
      for (const [index, chunks] of this.sentIn(node, round, kind)) {
        for (const { header, payload } of chunks) {
          const values = new Float32Array(header.length);
          fp32.decode(payload, values);
          if (kind === 'parameters') shard.writeParameters(values, header.offset);
          else shard.writeState(index, values, header.offset);
        }
      }
    }
  }

  private gradients({ node, round }: Contribution): Tensors {
    return this.sentIn(node, round, 'gradient');
  }

  private sentIn(node: string, round: number, kind: 'gradient' | 'parameters' | 'state'): Tensors {
    return this.sent.get(`${node}/${round}/${kind}`) ?? new Map();
  }

  /** In the order in which they were added. */
  private contributed(): readonly Contributed[] {
    const groups = new Map<string, Contribution[]>();
    for (const part of this.accepted) {
      const group = part.stage?.group ?? part.node;
      groups.set(group, [...(groups.get(group) ?? []), part]);
    }
    return [...groups.values()].map((parts) => {
      const first = parts.filter(({ stage }) => (stage?.stage ?? 0) === 0);
      const samples = first.reduce((sum, one) => sum + one.samples, 0);
      const moved = this.moved(parts[0]!);
      return { weight: parts[0]!.weight, parts, samplesOf: (fragment) => (moved === undefined ? samples : (moved.get(fragment) ?? 0)) };
    });
  }

  /** Samples that the move of each fragment of a stream is of: all since it was sent last. */
  private moved({ node, samples, fragments }: Contribution): ReadonlyMap<number, number> | undefined {
    const count = fragmentsOf(this.job.sync);
    if (fragments === undefined || count === undefined) return undefined;
    const unsent = [...(this.unsent.get(node) ?? [])];
    if (samples > 0) unsent.push({ samples, missing: new Set(Array.from({ length: count }, (_, fragment) => fragment)) });
    const movedBy = (fragment: number) => unsent.filter(({ missing }) => missing.delete(fragment)).reduce((sum, steps) => sum + steps.samples, 0);
    const moved = new Map(fragments.map((fragment) => [fragment, movedBy(fragment)]));
    this.unsent.set(node, unsent);
    return moved;
  }

  /** In the model's vector, of a place in a worker's. */
  private placeOf({ node, stage }: Contribution, start: number): number {
    if (stage === undefined) return start;
    const held = this.layouts.get(`${stage.group}/${node}`)!;
    const slot = held.slots.find(({ offset, length }) => start >= offset && start < offset + length)!;
    return this.scenario.model.layout.slots.find(({ name }) => name === slot.name)!.offset + start - slot.offset;
  }
}
