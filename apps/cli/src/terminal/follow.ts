import type { Plan, StoredEvent, Verdict } from '@longtail/core';
import { renderLive } from '../view/live.js';
import { PlainNarrator } from '../view/plain.js';
import { planLines } from '../view/plan.js';
import type { RunProgress } from '../view/progress.js';
import { advance, NOTHING_YET } from '../view/progress.js';
import type { Output } from './output.js';

const REDRAW_MS = 200;

export interface Followed {
  readonly progress: RunProgress;
  readonly verdict: Verdict | undefined;
}

/** Shows a run as it goes, in the way the terminal and the options want; resolves when its events end. */
export async function followRun(events: AsyncIterable<StoredEvent>, output: Output): Promise<Followed> {
  const view = output.json ? jsonView(output) : output.live ? await liveView(output) : output.quiet ? SILENT : plainView(output);
  let progress = NOTHING_YET;
  try {
    for await (const stored of events) {
      progress = advance(progress, stored);
      view.show(stored, progress);
    }
  } finally {
    view.end();
  }
  return { progress, verdict: progress.verdict };
}

interface View {
  show(stored: StoredEvent, progress: RunProgress): void;
  end(): void;
}

const SILENT: View = { show: () => undefined, end: () => undefined };

/** The event log's lines; the verdict, the last, stands as it is. */
function jsonView(output: Output): View {
  return {
    show: ({ seq, timeMs, body }) => output.event(body.event === 'verdict' ? body : { ...body, seq, timeMs }),
    end: () => undefined,
  };
}

function plainView(output: Output): View {
  const narrator = new PlainNarrator(output.colors);
  return {
    show: (stored, progress) => {
      if (stored.body.event === 'planned') showPlan(stored.body.plan, output);
      else narrator.tell(stored, progress).forEach((line) => output.line(line));
    },
    end: () => undefined,
  };
}

function showPlan(plan: Plan, output: Output): void {
  for (const line of ['', ...planLines(plan, output.colors), '']) output.line(line);
}

async function liveView(output: Output): Promise<View> {
  const { createLogUpdate } = await import('log-update');
  const draw = createLogUpdate(process.stdout, { showCursor: false });
  let latest = NOTHING_YET;
  const redraw = () => draw(renderLive(latest, Date.now(), output.width(), output.colors).join('\n'));
  const timer = setInterval(redraw, REDRAW_MS);
  return {
    show: ({ body }, progress) => {
      latest = progress;
      if (body.event !== 'planned') return;
      draw.clear();
      showPlan(body.plan, output);
    },
    end: () => {
      clearInterval(timer);
      redraw();
      draw.done();
    },
  };
}
