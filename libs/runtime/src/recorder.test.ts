import type { RecordedChunk, RunEvent } from '@longtail/core';
import { expect, test } from 'vitest';
import type { RunSnapshot } from './ports.js';
import type { RunCore } from './run-core.js';
import { Recorder } from './recorder.js';

const MIB = 2 ** 20;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Contributions whose bytes nobody reads. */
function chunks(bytes: number): readonly RecordedChunk[] {
  return [{ kind: 'gradient', index: 0, offset: 0, length: 1, parts: [{ part: 0, codecId: 0, bytes: { length: bytes } as Uint8Array }] }];
}

/** A recorder that is on, over a disk that writes a version when it is told to. */
async function slowDisk() {
  const events: RunEvent[] = [];
  const written: number[] = [];
  const waiting: { readonly version: number; end(error?: Error): void }[] = [];
  const recording = {
    begin: (): Promise<void> => Promise.resolve(),
    append: (version: number) =>
      new Promise<void>((resolve, reject) => {
        waiting.push({ version, end: (error) => (error === undefined ? (written.push(version), resolve()) : reject(error)) });
      }),
    flush: async () => undefined,
  };
  const leases = { totals: () => ({ total: 0, applied: 0, lost: 0 }) };
  const core = { run: 'r', version: 0, groups: [], job: { record: { maxBytes: 1 } }, training: { leases }, store: { recording }, emit: (event: RunEvent) => events.push(event) };
  const recorder = new Recorder(core as unknown as RunCore);
  await recorder.begin({} as RunSnapshot);
  const keep = (version: number, mebibytes: number) => {
    let taken = false;
    void recorder.keep(version, [], chunks(mebibytes * MIB)).then(() => (taken = true));
    return () => taken;
  };
  const write = async (error?: Error) => {
    waiting.shift()!.end(error);
    await turn();
  };
  return { recorder, recording, core, events, written, waiting, keep, write };
}

test('commits go on while the disk writes, and wait for it where too much waits already', async () => {
  const { written, waiting, keep, write } = await slowDisk();
  const [first, second, third] = [keep(1, 100), keep(2, 150), keep(3, 50)];
  await turn();
  expect([first(), second(), third()]).toEqual([true, true, false]);
  expect(waiting.map(({ version }) => version)).toEqual([1]);
  await write();
  await write();
  expect([written, third()]).toEqual([[1, 2], true]);
});

test('a commit that is larger than what may wait is taken when nothing does', async () => {
  const { keep, write } = await slowDisk();
  const [first, second] = [keep(1, 1000), keep(2, 1000)];
  await turn();
  expect([first(), second()]).toEqual([true, false]);
  await write();
  expect(second()).toBe(true);
});

test('where a version cannot be written those that wait behind it are not either', async () => {
  const { recorder, events, written, waiting, keep, write } = await slowDisk();
  keep(1, 1);
  keep(2, 1);
  keep(3, 1);
  await turn();
  await write();
  await write(new Error('the disk is on fire'));
  await recorder.flush();
  expect([written, waiting, recorder.isOn]).toEqual([[1], [], false]);
  expect(events.at(-1)).toEqual({ event: 'recording_stopped', run: 'r', version: 1, reason: 'the disk is on fire' });
});

test('where a standby that took over has no room for the rest, it says up to where there is something', async () => {
  const { recorder, events, recording, core } = await slowDisk();
  recording.begin = () => Promise.reject(new Error('it needs more room'));
  core.version = 7;
  await recorder.succeed({} as RunSnapshot);
  expect(recorder.isOn).toBe(false);
  expect(events.at(-1)).toEqual({ event: 'recording_stopped', run: 'r', version: 7, reason: 'it needs more room' });
});
