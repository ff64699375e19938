/**
 * Σ valueAt(i) of i below `count`, in float64. Eight lanes, added as the SIMD kernels add them; then the values after the last whole group of eight.
 */
export function laneSum(count: number, valueAt: (i: number) => number): number {
  const lanes = new Float64Array(8);
  const grouped = count - (count % 8);
  for (let i = 0; i < grouped; i++) lanes[i % 8] = lanes[i % 8]! + valueAt(i);
  const [l0, l1, l2, l3, l4, l5, l6, l7] = lanes as unknown as EightNumbers;
  let sum = l0 + l2 + (l4 + l6) + (l1 + l3 + (l5 + l7));
  for (let i = grouped; i < count; i++) sum += valueAt(i);
  return sum;
}

type EightNumbers = [number, number, number, number, number, number, number, number];
