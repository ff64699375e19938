import { formatBitRate, formatMilliseconds } from '@longtail/core';
import { GPUS, LINK_CLASSES } from '@longtail/spec';
import type { Colors } from './colors.js';
import { renderTable } from './table.js';

/** What fleets and scenarios may name, for people: devices with their makers' figures, and classes of links. */
export function catalogueLines(colors: Colors): readonly string[] {
  const devices = GPUS.map(({ name, fp32Tflops, fp16Tflops, memoryGib, gigabytesPerSecond, watts, dollars }) => [
    name,
    ...[fp32Tflops, fp16Tflops, memoryGib, gigabytesPerSecond, watts].map(String),
    dollars === undefined ? '–' : `$${dollars}`,
  ]);
  const links = Object.entries(LINK_CLASSES).map(([name, { up, down, rtt }]) => [name, formatBitRate(up), formatBitRate(down), formatMilliseconds(rtt)]);
  return [
    ...renderTable(['gpu', 'fp32 TFLOP/s', 'fp16 TFLOP/s', 'GiB', 'GB/s', 'W', 'list price'], devices, colors, 1).split('\n'),
    '',
    ...renderTable(['link', 'up', 'down', 'round trip'], links, colors, 1).split('\n'),
  ];
}
