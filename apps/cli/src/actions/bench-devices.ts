import { GPUS, LINK_CLASSES } from '@longtail/spec';
import type { Output } from '../terminal/output.js';
import { catalogueLines } from '../view/catalogue.js';

export async function benchDevices(output: Output): Promise<number> {
  output.event({ event: 'devices', gpus: GPUS, links: LINK_CLASSES });
  if (!output.json) catalogueLines(output.colors).forEach((line) => output.line(line));
  return 0;
}
