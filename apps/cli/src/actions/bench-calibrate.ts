import { hostname } from 'node:os';
import { formatBitRate, formatMilliseconds, type EngineName } from '@longtail/core';
import { ArmPool } from '@longtail/lab';
import { Interruption } from '../process/interruption.js';
import { measureLoopback, measureServerLink } from '../process/measure-link.js';
import type { Output } from '../terminal/output.js';
import { readJobFile } from '../terminal/read-job-file.js';
import { machineLine } from '../view/machine-line.js';

interface CalibrateOptions {
  readonly engine: EngineName;
  /** Undefined: the link within this machine. */
  readonly server?: string;
  readonly token?: string;
}

export async function calibrate(output: Output, { engine, server, token }: CalibrateOptions, file: string): Promise<number> {
  const { document } = await readJobFile(file);
  const pool = new ArmPool(1, engine, 'live', 1);
  const interruption = new Interruption(() => pool.close());
  try {
    const link = server === undefined ? await measureLoopback(interruption.signal) : await measureServerLink(server, token, interruption.signal);
    const { upBitsPerSecond, downBitsPerSecond, roundTripMs } = link;
    const where = server === undefined ? 'within this machine, over TCP' : `to ${server}`;
    output.note(`${where}: ${formatBitRate(upBitsPerSecond)} up, ${formatBitRate(downBitsPerSecond)} down, ${formatMilliseconds(roundTripMs)} there and back`);
    const { overheadMs, msPerSample } = await pool.measure(document);
    output.note(`a batch takes ${engine} on one thread ${formatMilliseconds(overheadMs)} and ${formatMilliseconds(msPerSample)} a sample`);
    const samplesPerSecond = 1000 / msPerSample;
    output.event({ event: 'calibration', engine, overheadMs, msPerSample, samplesPerSecond, server, link });
    output.note('one of the machines of a scenario:');
    if (!output.json) output.line(machineLine({ name: hostname(), samplesPerSecond, overheadMs, link }));
    return 0;
  } finally {
    interruption.restore();
    pool.close();
  }
}
