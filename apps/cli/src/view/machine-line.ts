import type { MeasuredLink } from '@longtail/core';

export interface CalibratedMachine {
  readonly name: string;
  readonly samplesPerSecond: number;
  readonly overheadMs: number;
  readonly link: MeasuredLink;
}

/** One of the machines of a scenario, as YAML, to three digits. */
export function machineLine({ name, samplesPerSecond, overheadMs, link: { upBitsPerSecond, downBitsPerSecond, roundTripMs } }: CalibratedMachine): string {
  const link = `{ up: ${megabits(upBitsPerSecond)}, down: ${megabits(downBitsPerSecond)}, rtt: ${rounded(roundTripMs)}ms }`;
  // Quoted, as a host may be called 4090.
  return `  - { name: ${JSON.stringify(name)}, samplesPerSecond: ${rounded(samplesPerSecond)}, overhead: ${rounded(overheadMs)}ms, link: ${link} }`;
}

function megabits(bitsPerSecond: number): string {
  return `${rounded(bitsPerSecond / 1e6)}mbit`;
}

function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
