import type { EngineName } from '@longtail/core';
import { LongtailError } from '@longtail/core';
import { nativeEnvironment } from '@longtail/engine/native';
import { Child } from './children.js';
import type { ProbeAnswers, ProbeMessage, ProbeQuestion } from './engine-probe.js';

/** An engine as it was found here. */
export type EngineFinding =
  | { readonly name: EngineName; readonly works: true; readonly description: string; readonly gflops: number }
  | { readonly name: EngineName; readonly works: false; readonly reason: string; readonly fix: string };

/** Which engines this machine has, without measuring them. */
export function listEngines(): Promise<ProbeAnswers['available']> {
  return probe({ ask: 'available' });
}

/** Loads and measures every engine of this machine, one after the other. */
export async function measureEngines(onFinding: (finding: EngineFinding) => void = () => undefined): Promise<readonly EngineFinding[]> {
  const findings: EngineFinding[] = [];
  for (const engine of await listEngines()) {
    const { name } = engine;
    const finding: EngineFinding = engine.available
      ? await measureEngine(name)
      : { name, works: false, reason: engine.reason, fix: engine.hint };
    findings.push(finding);
    onFinding(finding);
  }
  return findings;
}

/** The fastest engine for workers of so many threads. LongtailError `engine`. */
export function fastestEngine(threads: number): Promise<ProbeAnswers['choose']> {
  return probe({ ask: 'choose', threads });
}

async function measureEngine(name: EngineName): Promise<EngineFinding> {
  try {
    return { name, works: true, ...(await probe({ ask: 'measure', engine: name })) };
  } catch (error) {
    const { message, hint } = LongtailError.from(error, 'engine');
    return { name, works: false, reason: message, fix: hint ?? '' };
  }
}

async function probe<Question extends ProbeQuestion>(question: Question): Promise<ProbeAnswers[Question['ask']]> {
  let answer: ProbeMessage['answer'];
  const child = Child.start({
    name: 'the probe of the engines',
    module: new URL('./engine-probe.js', import.meta.url).href,
    args: [JSON.stringify(question)],
    env: nativeEnvironment(),
    onMessage: (message) => {
      answer = (message as ProbeMessage).answer;
    },
  });
  const end = await child.ended();
  if (answer === undefined) throw end;
  return answer as ProbeAnswers[Question['ask']];
}
