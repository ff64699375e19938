import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Succession } from './succession.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longtail-succession-'));
});
afterEach(() => rm(folder, { recursive: true }));

const open = () => Succession.open(folder, pino({ level: 'silent' }));

it('begins with the first server, and goes on with what was kept', async () => {
  const first = await open();
  expect([first.epoch, first.standbyAddress]).toEqual([1, '']);
  await first.begin(3);
  expect((await open()).epoch).toBe(3);
});

it.each(['{', '{"epoch":0,"standby":""}'])('is not opened where what was kept is damaged: %s', async (text) => {
  await writeFile(join(folder, 'succession.json'), text);
  await expect(open()).rejects.toMatchObject({ code: 'storage', where: join(folder, 'succession.json') });
});

it('is not taken for the first server where what was kept cannot be read', async () => {
  await mkdir(join(folder, 'succession.json'));
  await expect(open()).rejects.toThrow('Cannot read the file');
});

it('has not begun when that cannot be kept: started again, it would not know that it took over', async () => {
  const succession = await open();
  await mkdir(join(folder, 'succession.json'));
  await expect(succession.begin(2)).rejects.toThrow('Cannot write the file');
});
