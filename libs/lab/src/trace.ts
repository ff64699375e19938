import { LongtailError } from '@longtail/core';

/** A machine is here. */
export interface Stay {
  readonly fromMs: number;
  readonly toMs: number;
}

const COLUMNS = ['node', 'from', 'to'];

/**
 * Reads when machines were here: CSV with the header `node,from,to`, times in seconds. By node, in the order of time.
 * Throws LongtailError `invalid-file` with the line.
 */
export function parseTrace(text: string, file: string): ReadonlyMap<string, readonly Stay[]> {
  const wrong = (line: number, message: string) => new LongtailError(`${file}:${line}: ${message}`, { code: 'invalid-file', hint: 'A trace has the header node,from,to, and a line for each time that a machine is here, in seconds.' });
  const lines = text.split(/\r?\n/);
  const header = lines[0]!.split(',').map((name) => name.trim());
  if (header.join() !== COLUMNS.join()) throw wrong(1, `the header must be ${COLUMNS.join()}, found ${JSON.stringify(lines[0])}`);
  const byNode = new Map<string, Stay[]>();
  for (const [i, line] of lines.entries()) {
    if (i === 0 || line.trim() === '') continue;
    const [node = '', from, to, ...rest] = line.split(',').map((field) => field.trim());
    const stay = { fromMs: 1000 * Number(from || Number.NaN), toMs: 1000 * Number(to || Number.NaN) };
    if (node === '' || rest.length > 0 || !(stay.fromMs >= 0 && stay.toMs > stay.fromMs)) throw wrong(i + 1, `must be a name and two times in seconds, the later one last, found ${JSON.stringify(line)}`);
    const before = byNode.get(node) ?? [];
    if (before.some(({ fromMs, toMs }) => stay.fromMs <= toMs && stay.toMs >= fromMs)) throw wrong(i + 1, `${node} is here already at that time`);
    byNode.set(node, [...before, stay].sort((a, b) => a.fromMs - b.fromMs));
  }
  return byNode;
}
