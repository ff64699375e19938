import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layOut, type RecordedChunk } from '@longtail/core';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Checkpoint } from './checkpoints.js';
import { encodeChunk, encodeEnd, RecordFile } from './recording-format.js';
import { exampleJob } from './testing/example-run.js';
import { readRecording, recordingFolder, type RecordedPart } from './recording.js';

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'longtail-recording-')), 'recording');
});
afterEach(() => rmSync(join(folder, '..'), { recursive: true }));

const file = () => join(folder, 'v00000005', 'contributions.bin');
/** Each byte counts, as in the CRC of libs/kernels. */
const crc32c = (bytes: Uint8Array, previous = 0): number => bytes.reduce((sum, byte) => (Math.imul(sum, 31) + byte + 1) >>> 0, previous);
const options = { maxBytes: 1e6, crc32c };
const from: Checkpoint = {
  run: 'r1',
  job: exampleJob,
  version: 5,
  steps: 5,
  leaseBook: { samplesPerEpoch: 10, epochs: 2, applied: 0, lost: 0, cursor: { epoch: 0, position: 0 }, returned: [] },
  rng: {},
  validationSamples: 4,
  blocks: undefined,
  metrics: { validation_loss: null, validation_accuracy: null, train_loss: null },
  layout: layOut([{ name: 'w', shape: [2, 3] }]),
  parameters: Float32Array.from({ length: 6 }, (_, i) => i / 3),
  state: [new Float32Array(6).fill(1 / 7), new Float32Array(6)],
};
const chunk = (bytes: readonly number[], offset = 0): RecordedChunk => ({
  kind: 'gradient',
  index: 0,
  offset,
  length: 3,
  parts: [
    { part: 0, codecId: 3, bytes: Uint8Array.from(bytes) },
    { part: 2, codecId: 0, bytes: Uint8Array.of(7) },
  ],
});
const versions = new Map([
  [6, [chunk([1, 2, 3]), chunk([4], 3)]],
  [7, [chunk([])]],
  [9, [chunk([5, 5]), chunk([255, 0, 255, 0], 3)]],
]);

async function record(): Promise<void> {
  const recording = recordingFolder(folder, options);
  await recording.begin(from, 1000);
  for (const [version, chunks] of versions) await recording.append(version, chunks);
  await recording.flush();
  await recording.close();
}

/** Versions with their chunks, up to what is damaged, and whether something is. */
async function readAll(): Promise<{ readonly read: ReadonlyMap<number, readonly RecordedChunk[]>; readonly damaged: boolean }> {
  const [recording] = await readRecording(folder, options) as [RecordedPart];
  const read = new Map<number, readonly RecordedChunk[]>();
  try {
    for (const version of recording.versions) read.set(version, [...recording.chunks(version)]);
    return { read, damaged: recording.damage !== undefined };
  } catch (error) {
    expect(error).toMatchObject({ code: 'checksum', where: file() });
    return { read, damaged: true };
  } finally {
    recording.close();
  }
}

test('what was recorded comes back as it was', async () => {
  await record();
  expect(await readAll()).toEqual({ read: versions, damaged: false });
  const [recording] = await readRecording(folder, options) as [RecordedPart];
  recording.close();
  expect(recording.from).toEqual({ ...from, job: JSON.parse(JSON.stringify(exampleJob)) as unknown });
});

test('a byte that is another one is found, wherever it is: versions before it come back, none comes back changed', async () => {
  await record();
  const whole = readFileSync(file());
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const bytes = Uint8Array.from(whole);
      bytes[at]! ^= change;
      writeFileSync(file(), bytes);
      const { read } = await readAll();
      expect(read.size).toBeLessThan(versions.size);
      expect([...read]).toEqual([...versions].slice(0, read.size));
    }),
    { numRuns: 150 },
  );
});

test('what a crash cut off is left out, and recording goes on behind the rest', async () => {
  await record();
  const whole = readFileSync(file());
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length), async (cut) => {
      writeFileSync(file(), whole.subarray(0, cut));
      const torn = await readAll();
      expect(torn).toEqual({ read: new Map([...versions].slice(0, torn.read.size)), damaged: false });
      const last = [...torn.read.keys()].at(-1) ?? 5;
      const recording = recordingFolder(folder, options);
      expect(await recording.rewind(100)).toBe(last);
      await recording.append(20, [chunk([9])]);
      await recording.close();
      expect(await readAll()).toEqual({ read: new Map([...torn.read, [20, [chunk([9])]]]), damaged: false });
    }),
    { numRuns: 20 },
  );
});

test('a chunk of more workers than a record takes comes back as one', () => {
  const many: RecordedChunk = { ...chunk([]), parts: Array.from({ length: 7 }, (_, part) => ({ part, codecId: 1, bytes: new Uint8Array(part).fill(part) })) };
  const [path, chunks] = [join(folder, '..', 'records'), [many, chunk([1, 2, 3], 3), many]];
  const records = [...chunks.flatMap((one) => [...encodeChunk(6, one, crc32c, 5)]), encodeEnd(6, crc32c)];
  expect(records).toHaveLength(5 + 1 + 5 + 1); // of 0 + 1 + 2, 3, 4, 5 and 6 bytes
  writeFileSync(path, Buffer.concat(records.flat()));
  const file = new RecordFile(path, crc32c);
  const { versions: places } = file.scan();
  expect(places.flatMap((place) => [...file.chunks(place)])).toEqual(chunks);
  file.close();
});

test('what was undone is left out', async () => {
  await record();
  const recording = recordingFolder(folder, options);
  expect(await recording.rewind(8)).toBe(7);
  await recording.append(8, [chunk([8])]);
  await recording.close();
  expect([...(await readAll()).read.keys()]).toEqual([6, 7, 8]);
});

test('a recording takes no more than it may: nothing of the version that is too large stays', async () => {
  const recording = recordingFolder(folder, { ...options, maxBytes: 2000 });
  await recording.begin(from, 2000);
  await recording.append(6, [chunk([1])]);
  const large = Array.from({ length: 1500 }, () => 1);
  await expect(recording.append(7, [chunk([2]), chunk(large)])).rejects.toMatchObject({ code: 'storage', message: 'it would take more than its 2.0 KiB' });
  await recording.close();
  expect(await readAll()).toEqual({ read: new Map([[6, [chunk([1])]]]), damaged: false });
});

test('it is refused with the size that it needs', async () => {
  const small = recordingFolder(folder, { ...options, maxBytes: 2000 });
  await expect(small.begin(from, 3_000_000)).rejects.toMatchObject({ code: 'usage', message: 'Recording needs about 2.9 MiB, and may take 2.0 KiB.' });
  const large = recordingFolder(folder, { ...options, maxBytes: Infinity });
  await expect(large.begin(from, 1e18)).rejects.toMatchObject({ code: 'storage' });
});

test('where there is none, or its file is gone, that is said', async () => {
  const none = recordingFolder(folder, options);
  expect(await none.rewind(5)).toBeUndefined();
  await expect(readRecording(folder, options)).rejects.toMatchObject({ code: 'missing-file' });
  await record();
  rmSync(file());
  expect(await recordingFolder(folder, options).rewind(5)).toBeUndefined();
  await expect(readRecording(folder, options)).rejects.toMatchObject({ code: 'missing-file', where: file() });
});

test('a part that a standby begins stands beside those before it; what is undone takes parts along', async () => {
  await record();
  const recording = recordingFolder(folder, options);
  await recording.begin({ ...from, version: 8, steps: 8 }, 1000);
  await recording.append(9, [chunk([8])]);
  await recording.close();
  const partsThere = async () => {
    const parts = await readRecording(folder, options);
    parts.forEach((part) => part.close());
    return parts.map((part) => [part.from.version, ...part.versions]);
  };
  expect(await partsThere()).toEqual([[5, 6, 7, 9], [8, 9]]);
  expect(await recording.rewind(9)).toBe(9);
  await recording.close();
  // Another one goes back to before it.
  expect(await recording.rewind(7)).toBe(7);
  await recording.close();
  expect(await partsThere()).toEqual([[5, 6, 7]]);
  await recording.begin(from, 1000);
  await recording.close();
  expect(await partsThere()).toEqual([[5]]);
});
