import type { CostModel } from './cost-model.js';

/** A multiset over classes of identical devices: how many of each. */
export interface DeviceSet {
  readonly counts: readonly number[];
  /** Devices that stand for it: the first of each class. */
  readonly devices: readonly number[];
  readonly mayShareStage: boolean;
}

/**
 * All multisets of some devices, identical ones collapsed. A multiset is a number in mixed radix, so the union of two that
 * do not overlap is their sum; 0 is empty, `full` all.
 */
export class DeviceSets {
  readonly classes: readonly (readonly number[])[];
  readonly all: readonly DeviceSet[];
  readonly full: number;

  constructor(model: CostModel, devices: readonly number[]) {
    this.classes = classesOf(model, devices);
    const sets: DeviceSet[] = [];
    const radices = this.classes.map((members) => members.length + 1);
    const count = radices.reduce((product, radix) => product * radix, 1);
    for (let index = 0; index < count; index++) {
      let rest = index;
      const counts = radices.map((radix) => {
        const digit = rest % radix;
        rest = (rest - digit) / radix;
        return digit;
      });
      const members = counts.flatMap((taken, c) => this.classes[c]!.slice(0, taken));
      sets.push({ counts, devices: members, mayShareStage: model.mayShareStage(members) });
    }
    this.all = sets;
    this.full = count - 1;
  }

  contains(whole: number, part: number): boolean {
    const [a, b] = [this.all[whole]!.counts, this.all[part]!.counts];
    for (let c = 0; c < a.length; c++) if (b[c]! > a[c]!) return false;
    return true;
  }

  /** The subsets of a set, itself and the empty one included. */
  subsetsOf(whole: number): readonly number[] {
    const known = this.subsets.get(whole);
    if (known !== undefined) return known;
    let found = [0];
    let weight = 1;
    this.all[whole]!.counts.forEach((most, c) => {
      const wider: number[] = [];
      for (let taken = 0; taken <= most; taken++) for (const base of found) wider.push(base + taken * weight);
      found = wider;
      weight *= this.classes[c]!.length + 1;
    });
    this.subsets.set(whole, found);
    return found;
  }

  private readonly subsets = new Map<number, readonly number[]>();
}

/** Ways to deal devices out over `parts` hands, identical ones collapsed; what a search over subsets takes grows with it. */
export function dealings(classSizes: readonly number[], parts: number): number {
  return classSizes.reduce((product, size) => {
    for (let i = 1; i < parts; i++) product *= (size + i) / i;
    return product;
  }, 1);
}

/** Devices are alike when no cost tells them apart. */
export function classesOf(model: CostModel, devices: readonly number[]): readonly (readonly number[])[] {
  const classes = new Map<string, number[]>();
  for (const device of devices) {
    const key = model.kinds.likeness(device);
    const members = classes.get(key);
    if (members === undefined) classes.set(key, [device]);
    else members.push(device);
  }
  return [...classes.values()];
}
