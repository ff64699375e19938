/**
 * Colours by their names in the style sheet, light (and print) and dark. The hues of the arms are after Okabe & Ito (2008), moved until
 * each has a contrast of 3:1 with the page (WCAG 2.2, 1.4.11) and any two stay apart for colour-blind eyes; the test measures both.
 */
export const PALETTE = {
  page: ['#f6f7f9', '#0f131a'],
  card: ['#ffffff', '#171c25'],
  line: ['#e3e6eb', '#2a313d'],
  grid: ['#e6e9ee', '#2a313d'],
  text: ['#1b2230', '#e6e9ef'],
  muted: ['#586174', '#a3adbc'],
  'arm-0': ['#0066b9', '#6ba9fc'],
  'arm-1': ['#d76003', '#ef8234'],
  'arm-2': ['#008960', '#33cb9e'],
  'arm-3': ['#b34796', '#e989ca'],
  'arm-4': ['#0296dd', '#a7dbfe'],
  'arm-5': ['#705500', '#eacf4e'],
  'arm-6': ['#612f8b', '#8e7dff'],
  'arm-7': ['#3b4252', '#ced2d9'],
  other: ['#858d9b', '#6f7b8c'],
  compute: ['#0066b9', '#6ba9fc'],
  send: ['#d76003', '#ef8234'],
  receive: ['#e8c000', '#eacf4e'],
  wait: ['#d3d8e0', '#3d4656'],
  'heat-0': ['#e9eff7', '#232a36'],
  'heat-1': ['#cfe0f1', '#263a55'],
  'heat-2': ['#aecbe6', '#2a4c73'],
  'heat-3': ['#84b1da', '#306192'],
  'heat-4': ['#5894c8', '#3d79b0'],
  'heat-5': ['#3077b2', '#5a95c9'],
  'heat-6': ['#125a94', '#86b6df'],
  'heat-7': ['#083a66', '#c3e0f7'],
} as const satisfies Readonly<Record<string, readonly [light: string, dark: string]>>;

export type ColourName = keyof typeof PALETTE;

/** A colour that follows the theme of the page. */
export function colour(name: ColourName): string {
  return `var(--${name})`;
}

/** The declarations of all colours in one theme. */
export function declareColours(theme: 'light' | 'dark'): string {
  return Object.entries(PALETTE)
    .map(([name, pair]) => `--${name}:${pair[theme === 'light' ? 0 : 1]}`)
    .join(';');
}

/** A picture that stands alone has no style sheet: the light colours in place of their names. */
export function inLightColours(svg: string): string {
  return svg.replace(/(?<==")var\(--([\w-]+)\)(?=")/g, (_, name: ColourName) => PALETTE[name][0]);
}

/** How an arm looks in every chart: no two alike within 32, and told apart by dash and marker where colours are lost. */
export interface ArmStyle {
  readonly colour: string;
  readonly dash: string | undefined;
  readonly symbol: (typeof SYMBOLS)[number] | undefined;
}

const HUES = 8;
const DASHES = [undefined, '7 3', '2 2.5', '9 3 2 3'] as const;
const SYMBOLS = ['circle', 'square', 'triangle', 'diamond', 'star', 'wye', 'cross'] as const;

/** All that have no style of their own. */
export const OTHERS: ArmStyle = { colour: colour('other'), dash: undefined, symbol: undefined };

export function armStyle(index: number): ArmStyle {
  const dash = DASHES[(index + Math.floor(index / HUES)) % DASHES.length];
  return { colour: colour(`arm-${index % HUES}` as ColourName), dash, symbol: SYMBOLS[index % SYMBOLS.length] };
}
