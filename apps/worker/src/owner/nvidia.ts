import type { Gauge } from './gauges.js';
import { toNumber, type Machine } from './machine.js';

/** A figure of each NVIDIA GPU, as `nvidia-smi --help-query-gpu` names it. Undefined where there is none, or it does not tell. */
export async function nvidiaGauge(machine: Machine, figure: 'temperature.gpu' | 'power.draw', combine: (values: readonly number[]) => number): Promise<Gauge | undefined> {
  const gauge: Gauge = {
    source: 'nvidia-smi',
    async read() {
      const printed = await machine.run('nvidia-smi', [`--query-gpu=${figure}`, '--format=csv,noheader,nounits']);
      const values = (printed ?? '').split('\n').flatMap((line) => toNumber(line) ?? []);
      return values.length === 0 ? undefined : combine(values);
    },
  };
  return (await gauge.read()) === undefined ? undefined : gauge;
}
