import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { armStyle, inLightColours, PALETTE, type ColourName } from './palette.js';

type Rgb = readonly [number, number, number];

/** WCAG 2.2, relative luminance. */
function linear(hex: string): Rgb {
  return [1, 3, 5].map((at) => {
    const part = parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as unknown as Rgb;
}

function luminance(hex: string): number {
  const [r, g, b] = linear(hex);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

/** Full dichromacy, on linear RGB (Machado, Oliveira & Fernandes 2009). */
const EYES: Readonly<Record<string, readonly Rgb[]>> = {
  'full colour': [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

/** CIE 1976 L*a*b* under D65. */
function lab(hex: string, eyes: readonly Rgb[]): Rgb {
  const seen = eyes.map((row) =>
    Math.min(
      1,
      Math.max(
        0,
        row.reduce((sum, part, i) => sum + part * linear(hex)[i], 0),
      ),
    ),
  );
  const mix = (r: number, g: number, b: number): number => {
    const t = r * seen[0] + g * seen[1] + b * seen[2];
    return t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116;
  };
  const [x, y, z] = [mix(0.4339, 0.3763, 0.1898), mix(0.2126, 0.7152, 0.0722), mix(0.0177, 0.1094, 0.8729)];
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

const ARMS = Array.from({ length: 8 }, (_, i) => `arm-${i}` as ColourName);

describe.each([
  ['light', 0],
  ['dark', 1],
] as const)('in the %s theme', (_, theme) => {
  const hex = (name: ColourName): string => PALETTE[name][theme];

  test('text, curves and bars stand out from what is behind them', () => {
    for (const behind of ['page', 'card'] as const) {
      for (const name of ['text', 'muted'] as const)
        expect(contrast(hex(name), hex(behind)), `${name} on ${behind}`).toBeGreaterThanOrEqual(4.5);
      for (const name of [...ARMS, 'other', 'compute', 'send'] as const)
        expect(contrast(hex(name), hex(behind)), `${name} on ${behind}`).toBeGreaterThanOrEqual(3);
    }
    // Written on the bars of computing.
    expect(contrast(hex('card'), hex('compute'))).toBeGreaterThanOrEqual(4.5);
  });

  test.each(Object.keys(EYES))('with %s no two arms, and no two things that a node does, look alike', (eyes) => {
    const kinds = [ARMS, ['compute', 'send', 'receive', 'wait']] as const;
    for (const names of kinds)
      for (const [i, a] of names.entries())
        for (const b of names.slice(i + 1)) {
          const [p, q] = [lab(hex(a as ColourName), EYES[eyes]), lab(hex(b as ColourName), EYES[eyes])];
          // 2.3 is just noticeable; curves of a pixel or two need more.
          expect(Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]), `${a} and ${b}`).toBeGreaterThan(15);
        }
  });

  test('the heat map goes one way in lightness', () => {
    const lightness = Array.from({ length: 8 }, (_, i) => luminance(hex(`heat-${i}` as ColourName)));
    const steps = lightness.slice(1).map((value, i) => Math.sign(value - lightness[i]));
    expect(new Set(steps)).toEqual(new Set([theme === 0 ? -1 : 1]));
  });
});

test('no two of 32 arms have the same colour and dash', () => {
  const looks = Array.from({ length: 32 }, (_, i) => armStyle(i)).map(({ colour, dash }) => `${colour} ${dash}`);
  expect(new Set(looks).size).toBe(32);
  // Neighbours differ without colours.
  fc.assert(fc.property(fc.nat(1000), (i) => armStyle(i).symbol !== armStyle(i + 1).symbol));
});

test('a picture that stands alone names no variable', () => {
  expect(inLightColours('<a fill="var(--card)" stroke="var(--arm-0)">var(--card)</a>')).toBe(
    '<a fill="#ffffff" stroke="#0066b9">var(--card)</a>',
  );
});
