import type { Plan, RunEvent, StoredEvent } from '@longtail/core';

type EventOf<Name extends RunEvent['event']> = Extract<RunEvent, { readonly event: Name }>;
export type Contribution = EventOf<'contribution'>;

/** A round that did the whole batch, with what was accepted of it. */
export interface Round {
  readonly commit: EventOf<'commit'>;
  readonly contributions: readonly Contribution[];
}

/** What was done under one plan. */
export interface PlannedRounds {
  readonly plan: Plan;
  /** Which of the run's plans, from 1. */
  readonly number: number;
  /** That the run had so far. */
  readonly plans: number;
  readonly rounds: readonly Round[];
  /** What the model takes on each node, as it counted itself. */
  readonly memoryBytes: ReadonlyMap<string, number>;
}

/** Of the plans that a run had, the one under which most whole rounds were done, the latest of equals; undefined: it had none. */
export function plannedRounds(events: readonly StoredEvent[]): PlannedRounds | undefined {
  const spells: { readonly plan: Plan; readonly rounds: Round[]; memoryBytes: ReadonlyMap<string, number> }[] = [];
  const memoryBytes = new Map<string, number>();
  let contributions: Contribution[] = [];
  for (const { body } of events) {
    const spell = spells.at(-1);
    switch (body.event) {
      case 'planned':
        spells.push({ plan: body.plan, rounds: [], memoryBytes: new Map() });
        break;
      case 'worker_ready':
        memoryBytes.set(body.node, body.memoryBytes);
        break;
      case 'contribution':
        if (body.accepted) contributions.push(body);
        break;
      case 'commit':
        if (spell !== undefined && body.samples >= leastSamples(spell.plan)) spell.rounds.push({ commit: body, contributions });
        if (spell !== undefined) spell.memoryBytes = new Map(memoryBytes);
        contributions = [];
        break;
    }
  }
  return spells
    .map((spell, i): PlannedRounds => ({ ...spell, number: i + 1, plans: spells.length }))
    .reduce<PlannedRounds | undefined>((best, next) => (next.rounds.length >= (best?.rounds.length ?? 0) ? next : best), undefined);
}

/** Of a round that is as planned: a batch; of local steps, of which groups take one more or less by their paces, most of them. */
function leastSamples({ samplesPerRound, stepsPerRound }: Plan): number {
  return stepsPerRound === 1 ? samplesPerRound : MOST * samplesPerRound;
}

const MOST = 0.75;
