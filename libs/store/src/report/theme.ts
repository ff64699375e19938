/** Eight hues that stay apart for colour-blind readers (after Okabe & Ito 2008), by theme in the style sheet. */
const WORKER_COLOURS = 8;

/** The colour of the i-th worker, most samples first. */
export function workerColour(i: number): string {
  return `var(--worker-${i % WORKER_COLOURS})`;
}

export const OTHERS_COLOUR = 'var(--others)';

/** The style sheet: light, dark and print. */
export const STYLE = `
:root{color-scheme:light;--page:#f6f7f9;--card:#fff;--line:#e3e6eb;--text:#1b2230;--muted:#667085;--faint:#98a2b3;--grid:#eceef2;
--train:#2f6fde;--validation:#d9610f;--compute:#2f6fde;--transfer:#e8a13a;--receive:#f3d29b;--wait:#d5dae2;--validating:#b9a5e8;--rejected:#d13438;
--ok:#0f7b4f;--ok-soft:#e3f5ec;--bad:#b42318;--bad-soft:#fdeceb;--warn:#93580a;--warn-soft:#fdf3df;
--worker-0:#2f6fde;--worker-1:#e08a1e;--worker-2:#149a73;--worker-3:#b8579b;--worker-4:#57b0e0;--worker-5:#d0502a;--worker-6:#8a6fd6;--worker-7:#a9a13c;--others:#9aa4b2}
@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--page:#0f131a;--card:#171c25;--line:#2a313d;--text:#e6e9ef;--muted:#9aa5b5;--faint:#6f7b8c;--grid:#242b36;
--train:#6ea0ff;--validation:#ff9c52;--compute:#5b8ff5;--transfer:#e0a44a;--receive:#8f6c35;--wait:#3a4352;--validating:#6d5aa8;--rejected:#f0645f;
--ok:#5fd39e;--ok-soft:#123427;--bad:#ff8a80;--bad-soft:#3d1a1a;--warn:#f0bf69;--warn-soft:#372a12;
--worker-0:#6ea0ff;--worker-1:#f0a94e;--worker-2:#45c79c;--worker-3:#dd86c2;--worker-4:#7cc8ef;--worker-5:#f0805c;--worker-6:#a994ec;--worker-7:#cfc765;--others:#6f7b8c}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1140px;margin:0 auto;padding:32px 24px 48px}
header{display:flex;flex-wrap:wrap;align-items:center;gap:6px 14px;margin-bottom:20px}
h1{font-size:26px;line-height:1.2;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
header p{flex-basis:100%;margin:0;color:var(--muted)}
h2{font-size:16px;margin:0 0 12px}
.status{padding:2px 11px;border-radius:99px;font-size:13px;font-weight:600;background:var(--warn-soft);color:var(--warn)}
.status.succeeded{background:var(--ok-soft);color:var(--ok)}.status.failed{background:var(--bad-soft);color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-bottom:16px}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:12px}
.tile{padding:13px 16px}.tile span{display:block;font-size:12.5px;color:var(--muted)}.tile b{display:block;font-size:22px;line-height:1.3;font-weight:650;letter-spacing:-.01em;white-space:nowrap}
.card{padding:18px 20px;margin-bottom:16px}
.chart{margin:0;min-width:0}.chart+.chart{margin-top:0}
figcaption{display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 10px;margin-bottom:4px}
.note{color:var(--muted);font-size:13px}
.legend{margin-left:auto;display:flex;flex-wrap:wrap;gap:2px 14px;font-size:13px;color:var(--muted)}
.legend i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px}
svg{display:block;width:100%;height:auto;overflow:visible;font-family:inherit}
svg text{fill:var(--muted);font-size:11px}svg .label{font-size:11.5px}svg .lane-name{fill:var(--text);font-size:12.5px}svg .mark-label{font-size:10px;fill:var(--faint)}
.grid{stroke:var(--grid)}.axis{stroke:var(--faint)}.mark{stroke:var(--faint);stroke-dasharray:2 4}
.curve{fill:none;stroke-width:2;stroke-linejoin:round}.raw{fill:none;stroke-width:1;opacity:.28}
.dot{stroke:var(--card);stroke-width:1.5}
.lane{fill:var(--grid);opacity:.55}.compute{fill:var(--compute)}.transfer{fill:var(--transfer)}.wait{fill:var(--wait)}
.validating{fill:var(--validating);opacity:.5}.refused{fill:var(--rejected);fill-opacity:.5;stroke:var(--rejected);stroke-width:1.2}
.cross{stroke:var(--muted);stroke-dasharray:3 3}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:28px}.pair>:only-child{grid-column:1/-1}
.switch{position:absolute;opacity:0}.switches{float:right;margin:-2px 0 8px;border:1px solid var(--line);border-radius:8px;overflow:hidden;font-size:13px}
.switches label{display:inline-block;padding:3px 12px;cursor:pointer;color:var(--muted)}
#by-time:checked~.switches [for=by-time],#by-samples:checked~.switches [for=by-samples]{background:var(--grid);color:var(--text)}
#by-time:focus-visible~.switches [for=by-time],#by-samples:focus-visible~.switches [for=by-samples]{outline:2px solid var(--train);outline-offset:-2px}
#by-time:checked~.by-samples,#by-samples:checked~.by-time{display:none}
.stack>*+*,.scroll+.pair,.scroll+.scroll{margin-top:22px}.pair+.note{margin:8px 0 0}
.scroll{overflow-x:auto}
table{width:100%;border-collapse:collapse;font-size:14px}
th{font-weight:500;font-size:12.5px;color:var(--muted);text-align:left;white-space:nowrap}
th,td{padding:7px 10px;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}
th:first-child,td:first-child{padding-left:0}th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}.sub{display:block;font-size:12.5px;color:var(--muted)}
td.name{white-space:nowrap}i.key{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:8px}
.bar{display:inline-block;width:74px;height:8px;border-radius:4px;background:var(--grid);margin-right:8px;overflow:hidden;vertical-align:1px}.bar.parts{width:150px;margin:0}.bar.parts b{display:inline-block;border-radius:0;vertical-align:top}.bar b{display:block;height:100%;border-radius:4px}
.tag{display:inline-block;white-space:nowrap;min-width:74px;text-align:center;padding:0 8px;border-radius:99px;font-size:12px;font-weight:600;background:var(--grid);color:var(--muted)}
.tag.warning,.tag.rejected{background:var(--warn-soft);color:var(--warn)}.tag.error{background:var(--bad-soft);color:var(--bad)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:5px 20px;margin:0}dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
details{margin-top:14px}summary{cursor:pointer;color:var(--muted);font-size:13.5px}
pre{margin:10px 0 0;padding:14px;background:var(--page);border:1px solid var(--line);border-radius:8px;font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow:auto;max-height:420px}
#tip{position:fixed;z-index:1;pointer-events:none;display:none;max-width:min(520px,calc(100vw - 8px));padding:8px 11px;border-radius:8px;background:var(--card);border:1px solid var(--line);box-shadow:0 4px 18px rgb(0 0 0/.16);font-size:13px}
#tip b{display:block;font-weight:600;margin-bottom:2px}#tip div{display:flex;gap:16px;justify-content:space-between}#tip i{display:inline-block;width:9px;height:9px;border-radius:3px;margin-right:7px}#tip span{color:var(--muted)}
footer{color:var(--muted);font-size:13px}
@media screen and (max-width:820px){.pair{grid-template-columns:1fr}main{padding:20px 14px}.wide{overflow-x:auto}.wide svg{min-width:760px}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}}
@page{margin:12mm}
@media print{body{font-size:11px;background:#fff;-webkit-print-color-adjust:exact;print-color-adjust:exact}main{max-width:none;padding:0}.card{padding:10px 14px;margin-bottom:10px}.card,.tile,.chart{break-inside:avoid}.switches,details{display:none}
.card .by-time,.card .by-samples{display:grid!important;gap:16px}.by-samples{margin-top:12px}.scroll{overflow:visible}.bar{width:36px}th,td{padding:3px 5px}table,.sub,th,.legend,.note,.tag,footer{font-size:9.5px}.stack{break-inside:auto}.tiles{grid-template-columns:repeat(6,1fr);gap:8px}.tile{padding:8px 10px}.tile span{font-size:9.5px}.tile b{font-size:14px}}
`;
