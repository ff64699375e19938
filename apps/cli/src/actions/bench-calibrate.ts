import { formatMilliseconds, type EngineName } from '@longtail/core';
import { ArmPool } from '@longtail/lab';
import type { Output } from '../terminal/output.js';
import { readJobFile } from '../terminal/read-job-file.js';

export async function calibrate(output: Output, { engine }: { readonly engine: EngineName }, file: string): Promise<number> {
  const { document } = await readJobFile(file);
  const pool = new ArmPool(1, engine);
  try {
    const { overheadMs, msPerSample } = await pool.measure(document);
    const samplesPerSecond = 1000 / msPerSample;
    output.event({ event: 'calibration', engine, overheadMs, msPerSample, samplesPerSecond });
    if (!output.json) {
      output.line(`a batch takes ${engine} on one thread ${formatMilliseconds(overheadMs)} and ${formatMilliseconds(msPerSample)} a sample; in a scenario:`);
      output.line(`  - { name: this machine, samplesPerSecond: ${samplesPerSecond.toPrecision(3)}, overhead: ${overheadMs.toFixed(1)}ms }`);
    }
    return 0;
  } finally {
    pool.close();
  }
}
