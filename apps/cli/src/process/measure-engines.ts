import type { EngineName } from '@longtail/core';
import { availableEngines } from '@longtail/engine';
import { nativeEnvironment } from '@longtail/engine/native';
import { Child } from './children.js';
import type { ProbeMessage } from './engine-probe.js';

/** An engine as it was found here. */
export type EngineFinding =
  | { readonly name: EngineName; readonly works: true; readonly description: string; readonly gflops: number }
  | { readonly name: EngineName; readonly works: false; readonly reason: string; readonly fix: string };

/** Loads and measures every engine of this machine, one after the other, each in a process of its own. */
export async function measureEngines(onFinding: (finding: EngineFinding) => void = () => undefined): Promise<readonly EngineFinding[]> {
  const findings: EngineFinding[] = [];
  for (const engine of await availableEngines()) {
    const finding: EngineFinding = engine.available
      ? await measure(engine.name)
      : { name: engine.name, works: false, reason: engine.reason, fix: engine.hint };
    findings.push(finding);
    onFinding(finding);
  }
  return findings;
}

async function measure(name: EngineName): Promise<EngineFinding> {
  let measured: EngineFinding | undefined;
  const child = Child.start({
    name: `probe of the ${name} engine`,
    module: new URL('./engine-probe.js', import.meta.url).href,
    args: [name],
    env: nativeEnvironment(),
    onMessage: (message) => {
      const known = message as ProbeMessage;
      if (known.type === 'measured') measured = { name, works: true, description: known.description, gflops: known.gflops };
    },
  });
  const { message, hint } = await child.ended();
  return measured ?? { name, works: false, reason: message, fix: hint ?? '' };
}
