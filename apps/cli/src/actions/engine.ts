import { formatSeconds } from '@longtail/core';

import { installNativeEngine, probeNativeEngine } from '@longtail/engine-build';
import { Interruption } from '../process/interruption.js';
import { listEngines, measureEngines } from '../process/engines.js';
import type { Output } from '../terminal/output.js';
import { renderTable } from '../view/table.js';

interface InstallOptions {
  readonly cuda?: boolean;
  readonly cpu?: boolean;
  readonly force?: boolean;
  readonly ifPossible?: boolean;
}

export async function install(output: Output, options: InstallOptions): Promise<number> {
  const variant = options.cuda ? 'cuda' : options.cpu ? 'cpu' : 'auto';
  if (options.ifPossible && !(await canInstall(output))) return 0;
  const interruption = new Interruption(() => output.note('stopping'));
  try {
    const result = await installNativeEngine({
      variant,
      force: options.force,
      log: (line) => output.note(line),
      signal: interruption.signal,
    });
    if (output.json) output.event({ event: 'engine', ...result });
    else if (result.status === 'present') output.detail(`the tensorflow engine (${result.variant}) is installed in ${result.path}`);
    else output.line(`tensorflow (${result.variant}) installed in ${formatSeconds(result.seconds)}: ${result.path}`);
    return 0;
  } finally {
    interruption.restore();
  }
}

async function canInstall(output: Output): Promise<boolean> {
  const probe = await probeNativeEngine();
  if (probe.installable || probe.present.length > 0) return true;
  for (const { message, fix, blocking } of probe.problems)
    if (blocking) output.note(`the tensorflow engine is not installed: ${message} ${fix}`);
  return false;
}

export async function list(output: Output): Promise<number> {
  const engines = await listEngines();
  if (output.json) engines.forEach((engine) => output.event({ event: 'engine', ...engine }));
  else {
    const rows = engines.map((engine) => [
      engine.name,
      engine.available ? 'available' : `not available: ${engine.reason}`,
      engine.available ? '' : engine.hint,
    ]);
    output.line(renderTable(['engine', 'state', 'fix'], rows, output.colors));
  }
  return 0;
}

export async function measure(output: Output): Promise<number> {
  const findings = await measureEngines((finding) => output.event({ event: 'engine', ...finding }));
  if (output.json) return 0;
  const rows = findings.map((finding) =>
    finding.works
      ? [finding.name, `${finding.gflops.toPrecision(2)}`, finding.description]
      : [finding.name, '–', `${finding.reason} ${finding.fix}`],
  );
  output.line(renderTable(['engine', 'GFLOP/s', 'device'], rows, output.colors));
  return 0;
}
