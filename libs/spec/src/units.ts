const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, sec: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTES: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};
const BITS: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9, kbps: 1e3, mbps: 1e6, gbps: 1e9 };

/** `30s`, `5min`, `1.5h`, `200 ms` as milliseconds; a bare number counts seconds. Undefined for anything else. */
export function parseDurationMs(value: string | number): number | undefined {
  return parseQuantity(value, MILLISECONDS, 's');
}

/** The same of a round trip, where a bare number other than 0 is undefined: it could be meant as milliseconds as well. */
export function parseRoundTripMs(value: string | number): number | undefined {
  return Number(value) > 0 ? undefined : parseDurationMs(value);
}

/** `10MB`, `1.5GiB`, `4gb`, `4096` as bytes (decimal and binary units are different things). Undefined for anything else. */
export function parseByteSize(value: string | number): number | undefined {
  return parseQuantity(String(value).toLowerCase(), BYTES, 'b');
}

/** `20Mbit`, `1 gbit/s`, `2.5Gbps` as bits a second, in letters of any case; a bare number counts Mbit. Undefined for anything else. */
export function parseBitRate(value: string | number): number | undefined {
  return parseQuantity(String(value).toLowerCase().replace(/bit\/s\s*$/, 'bit'), BITS, 'mbit');
}

/** `50%` or `0.5` as a part, up to 1. Undefined for anything else. */
export function parsePart(value: string | number): number | undefined {
  const percent = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)\s*$/.exec(String(value));
  const part = percent === null ? undefined : Number(percent[1]) / (percent[2] === '%' ? 100 : 1);
  return part !== undefined && part <= 1 ? part : undefined;
}

/** `200W` or `0.2kW` as watts, in letters of any case; a bare number counts watts. Undefined for anything else. */
export function parsePower(value: string | number): number | undefined {
  return parseQuantity(String(value).toLowerCase(), { w: 1, kw: 1000 }, 'w');
}

function parseQuantity(value: string | number, units: Readonly<Record<string, number>>, bareUnit: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]*)\s*$/.exec(String(value));
  const unit = match && Object.hasOwn(units, match[2] || bareUnit) ? units[match[2] || bareUnit] : undefined;
  const quantity = unit === undefined ? NaN : Number(match![1]) * unit;
  return Number.isFinite(quantity) ? quantity : undefined;
}
