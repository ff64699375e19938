import type { BenchResult } from '@longtail/core';
import { collectArms, type Arm, type Run } from './arms.js';
import { ganttChart } from './charts/gantt.js';
import { heatMap } from './charts/heat-map.js';
import { lossChart } from './charts/loss.js';
import { rankingChart } from './charts/ranking.js';
import { sensitivityChart } from './charts/sensitivity.js';
import { timeSharesChart } from './charts/time-shares.js';
import { csvFiles } from './csv.js';
import { standAlone, type Figure } from './figure.js';
import { PICTURED, renderPage, type Charts } from './page.js';

/**
 * The report of a bench, by path in its folder: `report.html`, complete in itself; its charts for papers as `charts/*.svg`; every series as
 * `series/*.csv`. The same result gives the same bytes.
 */
export function writeReport(result: BenchResult): ReadonlyMap<string, string> {
  const arms = collectArms(result);
  const charts = drawCharts(result, arms.ranked);
  const files = new Map<string, string>();
  for (const figure of [...charts.main, ...charts.gantts, ...charts.heatMaps]) files.set(`charts/${figure.name}.svg`, standAlone(figure));
  for (const [name, text] of csvFiles(result)) files.set(`series/${name}`, text);
  return new Map([['report.html', renderPage(result, arms, charts, [...files.keys()])], ...files]);
}

function drawCharts(result: BenchResult, ranked: readonly Arm[]): Charts {
  const { nodes, targetLoss } = result;
  const main = [
    lossChart(ranked, 'time', targetLoss),
    lossChart(ranked, 'bytes', targetLoss),
    rankingChart(ranked, targetLoss),
    timeSharesChart(ranked),
    sensitivityChart(ranked, result),
  ];
  const each = (kind: string, draw: (name: string, arm: string, run: Run) => Figure | undefined): Figure[] =>
    present(
      ranked.slice(0, PICTURED).map((arm) => (arm.runs.length === 0 ? undefined : draw(`${kind}-${fileName(arm)}`, arm.name, arm.runs[0]))),
    );
  return {
    main: present(main),
    gantts: each('rounds', (name, arm, run) => ganttChart(name, arm, run, nodes)),
    heatMaps: each('utilisation', (name, arm, run) => heatMap(name, arm, run, nodes)),
  };
}

function present(figures: readonly (Figure | undefined)[]): Figure[] {
  return figures.filter((figure) => figure !== undefined);
}

/** Names come from scenario files: only letters and digits of them go into a path, and the number keeps it apart from the others. */
function fileName({ name, index }: Arm): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40);
  return `${index + 1}${plain === '' ? '' : `-${plain}`}`;
}
