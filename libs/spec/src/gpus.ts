/** A device as its maker describes it: peak TFLOP/s, GiB, GB/s, W, and its list price at launch in US dollars. */
export interface Gpu {
  readonly name: string;
  readonly fp32Tflops: number;
  readonly fp16Tflops: number;
  readonly memoryGib: number;
  readonly gigabytesPerSecond: number;
  readonly watts: number;
  /** Undefined where it is not sold by itself. */
  readonly dollars: number | undefined;
}

type Row = readonly [name: string, fp32: number, fp16: number, gib: number, gbps: number, watts: number, dollars?: number];

/** Consumer figures after NUMBERS.md, the others after the makers' data sheets; fp16 without sparsity, on tensor units where there are any. */
const ROWS: readonly Row[] = [
  ['RTX 5090', 104.8, 209.5, 32, 1792, 575, 1999],
  ['RTX 5080', 56.3, 112.6, 16, 960, 360, 999],
  ['RTX 5070 Ti', 43.9, 87.9, 16, 896, 300, 749],
  ['RTX 5070', 30.9, 61.7, 12, 672, 250, 549],
  ['RTX 4090', 82.6, 165, 24, 1008, 450, 1599],
  ['RTX 4080', 48.7, 97, 16, 717, 320, 1199],
  ['RTX 4070 Ti', 39.4, 79, 12, 504, 285, 799],
  ['RTX 4070', 29, 58, 12, 504, 200, 599],
  ['RTX 4060 Ti', 22, 44, 8, 288, 160, 399],
  ['RTX 4060', 15.1, 30, 8, 272, 115, 299],
  ['RTX 3090', 35.6, 71, 24, 936, 350, 1499],
  ['RTX 3080', 29.8, 60, 10, 760, 320, 699],
  ['RTX 3070', 20.3, 41, 8, 448, 220, 499],
  ['RTX 3060', 13, 26, 12, 360, 170, 329],
  ['RTX 3050', 9.1, 18, 8, 224, 130, 249],
  ['RTX 2080 Ti', 13.5, 27, 11, 616, 250, 999],
  ['RTX 2070', 7.5, 15, 8, 448, 175, 499],
  ['RTX 2060', 6.5, 13, 6, 336, 160, 349],
  ['GTX 1660 Super', 5, 10, 6, 336, 125, 229],
  ['GTX 1080 Ti', 11.3, 0.18, 11, 484, 250, 699],
  ['GTX 1080', 8.9, 0.14, 8, 320, 180, 599],
  ['GTX 1070', 6.5, 0.1, 8, 256, 150, 379],
  ['GTX 1060', 4.4, 0.07, 6, 192, 120, 249],
  ['RX 7900 XTX', 61.4, 123, 24, 960, 355, 999],
  ['RX 7800 XT', 37.3, 74.7, 16, 624, 263, 499],
  ['RX 6800 XT', 20.7, 41.5, 16, 512, 300, 649],
  ['RX 6700 XT', 13.2, 26, 12, 384, 230, 479],
  ['Arc A770', 19.7, 39.3, 16, 560, 225, 349],
  ['Arc B580', 13.7, 27.3, 12, 456, 190, 249],
  ['V100', 15.7, 125, 16, 900, 300],
  ['P100', 10.6, 21.2, 16, 732, 300],
  ['T4', 8.1, 65, 16, 320, 70],
  ['L4', 30.3, 121, 24, 300, 72],
  ['A10', 31.2, 125, 24, 600, 150],
  ['L40S', 91.6, 362, 48, 864, 350],
  ['RTX A6000', 38.7, 155, 48, 768, 300, 4650],
  ['A100 40GB', 19.5, 312, 40, 1555, 400],
  ['A100 80GB', 19.5, 312, 80, 2039, 400],
  ['H100', 67, 989, 80, 3350, 700],
  ['H200', 67, 989, 141, 4800, 700],
  ['MI250X', 47.9, 383, 128, 3277, 560],
  ['MI300X', 163.4, 1307, 192, 5300, 750],
  ['M1', 2.3, 4.6, 8, 68, 20],
  ['M1 Max', 10.4, 20.8, 32, 400, 60],
  ['M2 Max', 13.5, 27, 32, 400, 60],
  ['M3 Max', 14.2, 28.4, 36, 400, 65],
  ['M4 Max', 18, 36, 36, 546, 70],
  ['Iris Xe', 2.1, 4.1, 8, 51, 28],
  ['Radeon 780M', 4.1, 8.3, 16, 90, 45],
  ['UHD 770', 0.8, 1.6, 8, 51, 20],
];

/** Every device that a fleet file may name. */
export const GPUS: readonly Gpu[] = ROWS.map(([name, fp32Tflops, fp16Tflops, memoryGib, gigabytesPerSecond, watts, dollars]) => ({
  name,
  fp32Tflops,
  fp16Tflops,
  memoryGib,
  gigabytesPerSecond,
  watts,
  dollars,
}));

/** One that is in the catalogue. */
export function gpuNamed(name: string): Gpu {
  return GPUS.find((gpu) => gpu.name === name)!;
}
