const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, sec: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};
const BITS: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9, kbps: 1e3, mbps: 1e6, gbps: 1e9 };

/** `30s`, `5min`, `1.5h`, `200 ms` as milliseconds; a bare number counts seconds. Undefined for anything else. */
export function parseDurationMs(value: string | number): number | undefined {
  return parseQuantity(value, MILLISECONDS, 's');
}

/** `10MB`, `1.5GiB`, `4096` as bytes (decimal and binary units are different things). Undefined for anything else. */
export function parseByteSize(value: string | number): number | undefined {
  return parseQuantity(value, BYTES, 'B');
}

/** `20Mbit`, `1 gbit/s`, `2.5Gbps` as bits a second, in letters of any case; a bare number counts Mbit. Undefined for anything else. */
export function parseBitRate(value: string | number): number | undefined {
  return parseQuantity(String(value).toLowerCase().replace(/bit\/s\s*$/, 'bit'), BITS, 'mbit');
}

function parseQuantity(value: string | number, units: Readonly<Record<string, number>>, bareUnit: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]*)\s*$/.exec(String(value));
  const unit = match && Object.hasOwn(units, match[2] || bareUnit) ? units[match[2] || bareUnit] : undefined;
  return unit === undefined ? undefined : Number(match![1]) * unit;
}
