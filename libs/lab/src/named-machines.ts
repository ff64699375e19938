import type { ScenarioMachine } from '@longtail/spec';

/** Machines of one name are numbered, but for numbers that another one has as its name. */
export function namedMachines(machines: readonly ScenarioMachine[]): readonly { readonly machine: ScenarioMachine; readonly name: string }[] {
  const baseOf = (machine: ScenarioMachine) => machine.name ?? machine.gpu ?? 'machine';
  const counts = new Map<string, number>();
  for (const machine of machines) counts.set(baseOf(machine), (counts.get(baseOf(machine)) ?? 0) + machine.count);
  const numbers = new Map<string, number>();
  const nextOf = (base: string): string => {
    if (counts.get(base) === 1) return base;
    const number = (numbers.get(base) ?? 0) + 1;
    numbers.set(base, number);
    const name = `${base} ${number}`;
    return counts.get(name) === 1 ? nextOf(base) : name;
  };
  return machines.flatMap((machine) => Array.from({ length: machine.count }, () => ({ machine, name: nextOf(baseOf(machine)) })));
}
