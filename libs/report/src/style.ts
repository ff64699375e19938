import { declareColours } from './palette.js';

/** The style sheet: light, dark, and print (always light). */
export const STYLE = `
:root{color-scheme:light;${declareColours('light')}}
@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;${declareColours('dark')}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1240px;margin:0 auto;padding:32px 24px 48px}
h1{font-size:26px;line-height:1.2;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
header p{margin:6px 0 20px;color:var(--muted);max-width:80ch;overflow-wrap:anywhere}
h2{font-size:17px;margin:0 0 12px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px 20px;margin-bottom:16px}
.winner b{display:block;font-size:21px;line-height:1.3;font-weight:650;letter-spacing:-.01em;overflow-wrap:anywhere}.winner p{margin:4px 0 0;max-width:90ch}
.tiles{display:flex;flex-wrap:wrap;gap:10px 36px;margin:14px 0 0}.tiles span{display:block;font-size:12.5px;color:var(--muted)}.tiles strong{font-size:19px;font-weight:650;white-space:nowrap}
.charts{display:grid;grid-template-columns:1fr 1fr;gap:28px 36px;align-items:start}
figure{margin:0;min-width:0}svg{display:block;width:100%;height:auto;font-family:inherit;overflow:visible}
.note{color:var(--muted);font-size:13px;margin:-6px 0 12px}
.scroll{overflow-x:auto}
table{width:100%;border-collapse:collapse;font-size:13px}
th{font-weight:500;font-size:12.5px;color:var(--muted);text-align:left;vertical-align:bottom!important}
th,td{padding:7px 6px;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}
th:first-child,td:first-child{padding-left:0}th:last-child,td:last-child{padding-right:0}
th button{all:unset;cursor:pointer}th button:hover,th[aria-sort] button{color:var(--text)}th button:focus-visible{outline:2px solid var(--arm-0);outline-offset:2px}
th[aria-sort=ascending] button::after{content:" \\2191"}th[aria-sort=descending] button::after{content:" \\2193"}
td.n{white-space:nowrap}.n{text-align:right}.sub{display:block;font-size:12px;color:var(--muted)}
td.name{min-width:180px;overflow-wrap:anywhere}td .sub{white-space:normal}td.n .sub{white-space:nowrap}
i.key{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:8px}
.tag{display:inline-block;padding:0 9px;border-radius:99px;font-size:12px;font-weight:600;background:var(--grid);color:var(--text)}
a{color:inherit}footer,footer details{color:var(--muted);font-size:13px}summary{cursor:pointer}footer ul{columns:3;padding-left:18px}
@media screen and (max-width:860px){.charts{grid-template-columns:1fr}main{padding:20px 14px}figure{overflow-x:auto}svg{min-width:480px}footer ul{columns:1}}
@page{margin:12mm}
@media print{h1{font-size:20px}h2{font-size:14px}body{font-size:11px;background:#fff;-webkit-print-color-adjust:exact;print-color-adjust:exact}main{max-width:none;padding:0}.card{padding:10px 14px;margin-bottom:10px}
figure,tr,.winner{break-inside:avoid}h2,.note{break-after:avoid}.charts{gap:14px 18px}.main{display:block}.main figure{max-width:140mm;margin-bottom:16px}.scroll{overflow:visible}table{font-size:8.5px}.sub,th,.note,.tag,.tiles span{font-size:8px}th,td{padding:3px 4px}td.name{min-width:90px}.tiles strong{font-size:13px}.winner b{font-size:15px}footer{display:none}}
`;
