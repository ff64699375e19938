import { LongtailError, nearestName } from '@longtail/core';
import type { ScenarioFleet } from '@longtail/spec';
import { namedMachines } from './named-machines.js';

/** A machine is here. */
export interface Stay {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Texts of the traces that machines have, by their paths. Throws as `read` and `parseTrace`. */
export function tracesOf({ machines }: Pick<ScenarioFleet, 'machines'>, read: (path: string) => string): Readonly<Record<string, string>> {
  const nodes = new Map<string, Set<string>>();
  for (const { machine: { churn }, name } of namedMachines(machines)) {
    if (churn?.type !== 'trace') continue;
    const traced = nodes.get(churn.path);
    if (traced === undefined) nodes.set(churn.path, new Set([name]));
    else traced.add(name);
  }
  return Object.fromEntries(
    [...nodes].map(([path, traced]) => {
      const text = read(path);
      parseTrace(text, path, traced);
      return [path, text] as const;
    }),
  );
}

const COLUMNS = ['node', 'from', 'to'];

/**
 * Reads when machines were here: CSV with the header `node,from,to`, times in seconds. By node, in the order of time.
 * Throws LongtailError `invalid-file` with the line, also of a node that is none of `nodes`.
 */
export function parseTrace(text: string, file: string, nodes?: ReadonlySet<string>): ReadonlyMap<string, readonly Stay[]> {
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
    if (nodes?.has(node) === false) {
      const nearest = nearestName(node, [...nodes]);
      throw wrong(i + 1, `no machine with this trace is called ${JSON.stringify(node)}${nearest === undefined ? '' : `; did you mean ${JSON.stringify(nearest)}?`}`);
    }
    const before = byNode.get(node) ?? [];
    if (before.some(({ fromMs, toMs }) => stay.fromMs <= toMs && stay.toMs >= fromMs)) throw wrong(i + 1, `${node} is here already at that time`);
    byNode.set(node, [...before, stay].sort((a, b) => a.fromMs - b.fromMs));
  }
  return byNode;
}
