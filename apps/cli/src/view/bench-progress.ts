import { formatSeconds, type BenchArm } from '@longtail/core';
import { createLogUpdate } from 'log-update';
import type { Output } from '../terminal/output.js';
import { bar, percent } from './marks.js';

/** A line of how far a bench is, where it can be redrawn; else a line an arm; with --json an event an arm. */
export function benchProgress(output: Output) {
  const log = output.live ? createLogUpdate(process.stdout) : undefined;
  const beganMs = performance.now();
  let before = 0;
  return {
    arm(done: number, total: number, { name, seed, knob, outcome }: BenchArm, kept: boolean): void {
      if (kept) before++;
      output.event({ event: 'arm', name, seed, knob, status: outcome.status, kept, done, total });
      const ran = done - before;
      const left = ran === 0 ? '' : `, ${formatSeconds(((total - done) * (performance.now() - beganMs)) / 1000 / ran)} left`;
      if (log !== undefined) log(`${bar(done / total, 30, '·')} ${percent(done / total)}  ${done} of ${total} arms${left}`);
      else output.note(`${done} of ${total}: ${[name, knob, `seed ${seed}`].filter(Boolean).join(', ')} ${outcome.status}${kept ? ' before' : ''}`);
    },
    end(): void {
      log?.clear();
    },
  };
}
