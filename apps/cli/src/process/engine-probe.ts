import type { EngineName } from '@longtail/core';
import { LongtailError } from '@longtail/core';
import type { EngineAvailability } from '@longtail/engine';
import { availableEngines, chooseEngine, loadEngine, measureGflops } from '@longtail/engine';
import type { ChildMessage } from './children.js';

/** What a probe finds out. */
export type ProbeQuestion =
  | { readonly ask: 'available' }
  | { readonly ask: 'measure'; readonly engine: EngineName }
  | { readonly ask: 'choose'; readonly threads: number };

export interface ProbeAnswers {
  readonly available: readonly EngineAvailability[];
  readonly measure: { readonly description: string; readonly gflops: number };
  readonly choose: { readonly engine: EngineName; readonly why: string };
}

export interface ProbeMessage extends ChildMessage {
  readonly type: 'answer' | 'failed';
  readonly answer?: ProbeAnswers[keyof ProbeAnswers];
}

/** A process that answers one question about engines and ends: a driver that is noisy, or takes its process down, harms only this one. */
async function answer(question: ProbeQuestion): Promise<ProbeAnswers[keyof ProbeAnswers]> {
  switch (question.ask) {
    case 'available':
      return availableEngines();
    case 'measure': {
      const engine = await loadEngine(question.engine);
      return { description: engine.info.description, gflops: await measureGflops(engine) };
    }
    case 'choose': {
      const { engine, why } = await chooseEngine({ preferred: 'auto', threads: question.threads });
      return { engine: engine.info.name, why };
    }
  }
}

const tell = (message: ProbeMessage): Promise<void> =>
  new Promise((resolve) => process.send!(message, undefined, undefined, () => resolve()));

try {
  await tell({ type: 'answer', answer: await answer(JSON.parse(process.argv[2]!) as ProbeQuestion) });
} catch (error) {
  await tell({ type: 'failed', error: LongtailError.from(error, 'engine').toWire() });
}
process.exit(0);
