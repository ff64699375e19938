import type { BenchResult } from '@longtail/core';
import { collectArms, type Arm } from './arms.js';
import { ganttChart } from './charts/gantt.js';
import { heatMaps, type Pictured } from './charts/heat-map.js';
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
  const pictured = ranked.slice(0, PICTURED).flatMap((arm): Pictured[] => (arm.runs.length === 0 ? [] : [{ file: fileName(arm), arm: arm.name, run: arm.runs[0] }]));
  return {
    main: present(main),
    gantts: present(pictured.map(({ file, arm, run }) => ganttChart(`rounds-${file}`, arm, run, nodes))),
    heatMaps: heatMaps(pictured, nodes),
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
