import { median, passMsOf, RATE_DRIFT, RATE_SLUMP, type LayoutNode, type Plan } from '@longtail/core';

interface NodePace {
  /** Of a sample; undefined: the plan has no place for it. */
  readonly plannedMs: number | undefined;
  /** Its pace in the plan. */
  readonly taken: number;
  /** When the plan was last looked at. */
  considered: number;
  /** As planned over as measured, of the latest rounds: 0.5 is half as fast. */
  readonly ratios: number[];
}

/** Rounds that the median is taken of: single ones on a shared machine take twice as long. */
const WINDOW = 9;
const LEAST_ROUNDS = 5;

/** How fast devices were of late, as a multiple of what was measured of their blocks; by the plan that they work by. */
export class Paces {
  private readonly nodes = new Map<string, NodePace>();

  /** They work by this one from now on; it was made with the paces that it was told of these nodes. */
  workBy(plan: Plan, told: readonly Told[]): void {
    const tolds = pacesOf(told);
    const passMs = passMsOf(plan);
    const plannedMs = new Map(
      plan.groups.flatMap(({ microbatch, stages }) =>
        stages.flatMap(({ devices }) => devices.map(({ device }) => [device, passMs.get(device)! / microbatch] as const)),
      ),
    );
    // Who has no place in the plan is remembered as it was.
    for (const node of new Set([...this.nodes.keys(), ...plannedMs.keys()])) {
      const pace = tolds.get(node) ?? this.of(node);
      this.nodes.set(node, { plannedMs: plannedMs.get(node), taken: pace, considered: pace, ratios: [] });
    }
  }

  observe(node: string, samples: number, computeMs: number): void {
    const known = this.nodes.get(node);
    if (known?.plannedMs === undefined || samples === 0 || computeMs <= 0) return;
    known.ratios.push((known.plannedMs * samples) / computeMs);
    if (known.ratios.length > WINDOW) known.ratios.shift();
  }

  of(node: string): number {
    const known = this.nodes.get(node);
    if (known === undefined) return 1;
    return known.ratios.length < LEAST_ROUNDS ? known.considered : known.taken * median(known.ratios);
  }

  /** Somebody's rate is not what it was when the plan was last looked at. */
  get drifted(): boolean {
    return [...this.nodes].some(([node, { considered }]) => Math.abs(this.of(node) / considered - 1) > RATE_DRIFT);
  }

  /** Somebody is a great deal slower than when the plan was last looked at. */
  get slumped(): boolean {
    return [...this.nodes].some(([node, { considered }]) => this.of(node) / considered < 1 - RATE_SLUMP);
  }

  /** The plan was looked at with these paces and is kept: only another change is a reason to look again. */
  keep(told: readonly Told[]): void {
    const tolds = pacesOf(told);
    for (const [node, known] of this.nodes) known.considered = tolds.get(node) ?? this.of(node);
  }
}

/** As the layout was told of them. */
type Told = Pick<LayoutNode, 'node' | 'pace'>;

function pacesOf(told: readonly Told[]): ReadonlyMap<string, number | undefined> {
  return new Map(told.map(({ node, pace }) => [node, pace]));
}
