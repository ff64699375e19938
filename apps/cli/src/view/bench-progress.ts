import { formatSeconds, type BenchArm } from '@longtail/core';
import { createLogUpdate } from 'log-update';
import type { Output } from '../terminal/output.js';
import { bar, percent } from './marks.js';

/** A line of how far a bench is, where it can be redrawn; else a line an arm and whatever else takes time; with --json an event for each. */
export function benchProgress(output: Output) {
  const log = output.live ? createLogUpdate(process.stdout) : undefined;
  let current = '';
  return {
    /** What is measured or run now, and which part of it is done where that is known. */
    doing(what: string, part?: number): void {
      log?.(part === undefined ? what : `${bar(part, 30, '·')} ${percent(part)}  ${what}`);
      if (what === current) return;
      current = what;
      output.event({ event: 'doing', what });
      if (log === undefined) output.note(what);
    },
    /** For arms that are run one after the other or together; `as`: said of each, where arms are run in two ways. */
    arms(as = '') {
      const beganMs = performance.now();
      let before = 0;
      return (done: number, total: number, { name, seed, knob, outcome }: BenchArm, kept: boolean): void => {
        if (kept) before++;
        output.event({ event: 'arm', name, seed, knob, status: outcome.status, kept, done, total });
        const ran = done - before;
        const left = ran === 0 ? '' : `, ${formatSeconds(((total - done) * (performance.now() - beganMs)) / 1000 / ran)} left`;
        if (log !== undefined) log(`${bar(done / total, 30, '·')} ${percent(done / total)}  ${done} of ${total} arms${as}${left}`);
        else output.note(`${done} of ${total}: ${[name, knob, `seed ${seed}`].filter(Boolean).join(', ')} ${outcome.status}${as}${kept ? ' before' : ''}`);
      };
    },
    end(): void {
      log?.clear();
    },
  };
}

export type BenchProgress = ReturnType<typeof benchProgress>;
