import { parseScenarioFile } from '@longtail/spec';
import { expect, test } from 'vitest';
import { machineLine } from './machine-line.js';

test('a scenario takes the machine as it is printed, whatever its host is called', () => {
  for (const name of ['4090', 'true', 'null', '1e3', "Ann's: laptop", '#1']) {
    const line = machineLine({ name, samplesPerSecond: 1234.5, overheadMs: 0.01234, link: { upBitsPerSecond: 19.87e6, downBitsPerSecond: 1.2345e9, roundTripMs: 12.34 } });
    const text = `job: { data: mnist, model: { type: mlp, hidden: [8] } }\nfleet:\n  machines:\n${line}\narms: [{ strategy: bsp }]\n`;
    const [machine] = parseScenarioFile(text, 'calibrated.yaml', { resolve: (path) => path, read: () => '' }).fleet.machines;
    expect(machine).toMatchObject({ name, samplesPerSecond: 1230, overhead: 0.0123, link: { up: 19.9e6, down: 1230e6, rtt: 12.3 } });
  }
});
