import { formatSeconds } from '@longtail/core';
import type { ArmProgress } from '@longtail/lab';
import { createLogUpdate } from 'log-update';
import type { Output } from '../terminal/output.js';
import { bar, percent } from './marks.js';

/** Where nothing is redrawn it is said so often how far arms are. */
const SAY_EVERY_MS = 30_000;

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
    arms(as = ''): ArmProgress {
      const beganMs = performance.now();
      let saidMs = beganMs;
      let [done, before] = [0, 0];
      const show = (parts: number, total: number): void => {
        const ran = done - before + parts;
        const leftSeconds = ran === 0 ? undefined : ((total - done - parts) * (performance.now() - beganMs)) / 1000 / ran;
        const left = leftSeconds === undefined ? '' : `, ${formatSeconds(leftSeconds)} left`;
        const part = (done + parts) / total;
        log?.(`${bar(part, 30, '·')} ${percent(part)}  ${done} of ${total} arms${as}${left}`);
        if (parts === 0 || performance.now() < saidMs + SAY_EVERY_MS) return;
        saidMs = performance.now();
        output.event({ event: 'under-way', part, done, total, leftSeconds });
        if (log === undefined) output.note(`${percent(part)} of ${total} arms${as}${left}`);
      };
      return {
        underWay: show,
        done(now, total, { name, seed, knob, outcome }, kept) {
          done = now;
          if (kept) before++;
          output.event({ event: 'arm', name, seed, knob, status: outcome.status, kept, done, total });
          if (log === undefined) output.note(`${done} of ${total}: ${[name, knob, `seed ${seed}`].filter(Boolean).join(', ')} ${outcome.status}${as}${kept ? ' before' : ''}`);
          else show(0, total);
        },
      };
    },
    end(): void {
      log?.clear();
    },
  };
}

export type BenchProgress = ReturnType<typeof benchProgress>;
