import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { giveLocalOrder, takeLocalOrders, type LocalOrder } from './local-control.js';

let folder: string;
beforeEach(() => void (folder = join(mkdtempSync(join(tmpdir(), 'longtail-control-')), 'control')));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a process heeds the orders of its user, and whoever gave one hears of its end', async () => {
  const heard: LocalOrder[] = [];
  const standing = { name: 'lent', node: 'n1', server: '10.0.0.5:7077' };
  const control = await takeLocalOrders(folder, (order) => {
    heard.push(order);
    return { ...standing, paused: order.order === 'pause' ? order.reason : '' };
  });
  expect([statSync(folder).mode & 0o777, statSync(join(folder, String(process.pid))).mode & 0o777]).toEqual([0o700, 0o600]);
  const [paused, ...others] = await giveLocalOrder(folder, { order: 'pause', reason: 'a film' });
  expect(others).toEqual([]);
  expect(paused).toMatchObject({ ...standing, paused: 'a film' });
  paused!.close();
  await paused!.ended;
  expect(await giveLocalOrder(folder, { order: 'unpause', reason: '' })).toMatchObject([{ paused: '' }]);
  expect(heard.map(({ order }) => order)).toEqual(['pause', 'unpause']);
  control.close();
  expect(readdirSync(folder)).toEqual([]);
});

test('what is no order is not heeded, and the next one is; an entry that a kill left behind is cleared away', async () => {
  const standing = { name: 'lent', node: 'n1', server: '10.0.0.5:7077', paused: '' };
  const control = await takeLocalOrders(folder, () => standing);
  const silent: string[] = [];
  expect(await giveLocalOrder(folder, { order: 'format' as 'pause', reason: '' }, { onSilent: (pid) => silent.push(pid) })).toEqual([]);
  expect(silent).toEqual([String(process.pid)]);
  expect(await giveLocalOrder(folder, { order: 'pause', reason: '' })).toMatchObject([standing]);
  control.close();
  writeFileSync(join(folder, '999999'), '');
  expect(await giveLocalOrder(folder, { order: 'pause', reason: '' })).toEqual([]);
  expect(readdirSync(folder)).toEqual([]);
});

test('a worker that is stopped keeps nobody waiting, and is told of', async () => {
  mkdirSync(folder);
  const stopped = createServer().listen(join(folder, '4711'));
  await once(stopped, 'listening');
  const silent: string[] = [];
  expect(await giveLocalOrder(folder, { order: 'pause', reason: '' }, { onSilent: (pid) => silent.push(pid), patienceMs: 50 })).toEqual([]);
  expect(silent).toEqual(['4711']);
  expect(readdirSync(folder)).toEqual(['4711']);
  stopped.close();
});

test('nobody here is nobody, not an error', async () => {
  expect(await giveLocalOrder(join(folder, 'never made'), { order: 'pause', reason: '' })).toEqual([]);
});
