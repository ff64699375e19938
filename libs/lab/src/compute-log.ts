/** When each node computed, in virtual time: passes of a node come one after the other. */
export class ComputeLog {
  private readonly passes = new Map<string, number[]>();

  /** A pass: it may have been given up. */
  note(node: string, fromMs: number, toMs: number): void {
    const own = this.passes.get(node);
    if (own === undefined) this.passes.set(node, [fromMs, toMs]);
    // A pass that follows at once is the same stretch.
    else if (own.at(-1) === fromMs) own[own.length - 1] = toMs;
    else own.push(fromMs, toMs);
  }

  /** Stretches within a time, cut to it. */
  within(node: string, fromMs: number, toMs: number): readonly Stretch[] {
    const own = this.passes.get(node) ?? [];
    const stretches: Stretch[] = [];
    for (let i = 0; i < own.length; i += 2) {
      const stretch = { fromMs: Math.max(fromMs, own[i]!), toMs: Math.min(toMs, own[i + 1]!) };
      if (stretch.toMs > stretch.fromMs) stretches.push(stretch);
    }
    return stretches;
  }
}

export interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
}

export function lengthOf(stretches: readonly Stretch[]): number {
  return stretches.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
}
