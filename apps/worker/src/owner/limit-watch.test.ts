import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { OwnerLimits } from '@longtail/spec';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LimitWatch } from './limit-watch.js';
import type { Machine } from './machine.js';

let root: string;
let nowMs: number;
let programs: Record<string, string>;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'longtail-machine-'));
  nowMs = new Date(2026, 10, 26, 12, 0).getTime();
  programs = {};
});
afterEach(() => rmSync(root, { recursive: true }));

function file(path: string, text: string | number): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), `${text}\n`);
}

/** Programs print what the test says, by their name and first argument, or their name alone. */
function machine(platform: NodeJS.Platform = 'linux', env: NodeJS.ProcessEnv = {}): Machine {
  return { platform, env, root, nowMs: () => nowMs, run: async (program, args) => programs[args.at(-1)!] ?? programs[program] };
}

const open = (limits: OwnerLimits, on = machine()) => LimitWatch.open(limits, on);

test('the hottest processor counts, of chips and NVIDIA GPUs; disks do not', async () => {
  file('sys/class/hwmon/hwmon0/name', 'nvme');
  file('sys/class/hwmon/hwmon0/temp1_input', 99_000);
  file('sys/class/hwmon/hwmon1/name', 'coretemp');
  file('sys/class/hwmon/hwmon1/temp1_input', 61_000);
  file('sys/class/hwmon/hwmon1/temp2_input', 72_500);
  programs['nvidia-smi'] = '65\n70\n';
  const watch = await open({ celsius: 80 });
  expect(watch.watched).toEqual(['works up to 80 °C (coretemp, nvidia-smi)']);
  expect(await watch.look()).toBe('');
  file('sys/class/hwmon/hwmon1/temp2_input', 83_500);
  expect(await watch.look()).toBe('too hot: 84 °C, its owner allows 80 °C');
  file('sys/class/hwmon/hwmon1/temp2_input', 70_000);
  programs['nvidia-smi'] = '65\n91\n';
  expect(await watch.look()).toBe('too hot: 84 °C, its owner allows 80 °C');
  programs['nvidia-smi'] = '65\n70\n';
  expect(await watch.look()).toBe('');
});

test('where no chip tells, the zones of processors do', async () => {
  file('sys/class/thermal/thermal_zone0/type', 'acpitz');
  file('sys/class/thermal/thermal_zone0/temp', 27_800);
  await expect(open({ celsius: 80 })).rejects.toMatchObject({ code: 'usage', where: '--max-temperature', hint: expect.stringContaining('/sys/class/hwmon') });
  file('sys/class/thermal/thermal_zone1/type', 'x86_pkg_temp');
  file('sys/class/thermal/thermal_zone1/temp', 81_000);
  expect(await (await open({ celsius: 80 })).look()).toBe('too hot: 81 °C, its owner allows 80 °C');
  rmSync(join(root, 'sys/class/thermal/thermal_zone1/temp'));
  await expect(open({ celsius: 80 })).rejects.toMatchObject({ code: 'usage' });
});

test('power is that of all processors: energy over time, over the wrap of its counter too', async () => {
  file('sys/class/powercap/intel-rapl:0/name', 'package-0');
  file('sys/class/powercap/intel-rapl:0/max_energy_range_uj', 1_000_000_000);
  file('sys/class/powercap/intel-rapl:0/energy_uj', 900_000_000);
  file('sys/class/powercap/intel-rapl:0:0/energy_uj', 0);
  file('sys/class/hwmon/hwmon0/name', 'amdgpu');
  file('sys/class/hwmon/hwmon0/power1_average', 30_000_000);
  programs['nvidia-smi'] = '20.5\n';
  const watch = await open({ watts: 150 });
  expect(watch.watched).toEqual(['works up to 150 W (package-0, amdgpu, nvidia-smi)']);
  nowMs += 2000;
  file('sys/class/powercap/intel-rapl:0/energy_uj', 50_000_000); // 150 J in 2 s: 75 W
  expect(await watch.look()).toBe('');
  nowMs += 2000;
  file('sys/class/powercap/intel-rapl:0/energy_uj', 300_000_000); // 250 J in 2 s
  expect(await watch.look()).toBe('it draws 176 W, its owner allows 150 W');
});

test('a power that only root may read, or that nobody tells, is refused with the way out', async () => {
  await expect(open({ watts: 150 })).rejects.toMatchObject({ code: 'usage', where: '--max-power', hint: expect.stringContaining('nvidia-smi') });
  mkdirSync(join(root, 'sys/class/powercap/intel-rapl:0'), { recursive: true });
  await expect(open({ watts: 150 })).rejects.toMatchObject({ hint: expect.stringContaining('sudo chmod a+r /sys/class/powercap/intel-rapl:0/energy_uj') });
});

test.each([
  ['linux', { DISPLAY: ':0' }, 'xprintidle', '61000\n', 'xprintidle'],
  ['linux', { WAYLAND_DISPLAY: 'wayland-0' }, 'org.gnome.Mutter.IdleMonitor.GetIdletime', '(uint64 61000,)\n', 'GNOME'],
  ['linux', { DISPLAY: ':0' }, 'org.freedesktop.ScreenSaver.GetSessionIdleTime', '(uint32 61000,)\n', 'the screen saver'],
  ['darwin', {}, 'ioreg', '    | |   "HIDIdleTime" = 61000000000\n', 'ioreg'],
  ['win32', {}, 'powershell', '61000\r\n', 'GetLastInputInfo'],
] as const)('on %s %j %s tells for how long nobody has used the machine', async (platform, env, program, printed, source) => {
  programs[program] = printed;
  const on = machine(platform, env);
  expect((await open({ idleMs: 60_000 }, on)).watched).toEqual([`works when nobody has used the machine for 1 min 0 s (${source})`]);
  expect(await (await open({ idleMs: 60_000 }, on)).look()).toBe('');
  expect(await (await open({ idleMs: 62_000 }, on)).look()).toMatch(/^somebody uses the machine/);
});

test('without a desktop terminals tell: the one that was read last', async () => {
  file('dev/pts/0', '');
  file('dev/pts/ptmx', '');
  file('dev/tty1', '');
  const typedAt = (path: string, agoMs: number) => utimesSync(join(root, path), (nowMs - agoMs) / 1000, nowMs / 1000);
  typedAt('dev/pts/0', 400_000);
  typedAt('dev/tty1', 500_000);
  typedAt('dev/pts/ptmx', 0);
  const watch = await open({ idleMs: 300_000 });
  expect(await watch.look()).toBe('');
  typedAt('dev/tty1', 1000);
  expect(await watch.look()).toBe('somebody uses the machine (it works after 5 min 0 s without)');
});

test('a desktop that nobody can ask is no idle machine', async () => {
  file('dev/pts/0', '');
  await expect(open({ idleMs: 1000 }, machine('linux', { DISPLAY: ':0' }))).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('install xprintidle') });
  file('tmp/.X11-unix/X0', '');
  await expect(open({ idleMs: 1000 })).rejects.toMatchObject({ where: '--only-idle', message: expect.stringContaining('no DISPLAY') });
});

test('a machine without a desktop or a terminal cannot tell', async () => {
  await expect(open({ idleMs: 1000 })).rejects.toMatchObject({ message: expect.stringContaining('no desktop and no terminal') });
});

test('hours go by the local time', async () => {
  const hours = [{ days: [4], fromMinute: 720, toMinute: 780, text: 'thu 12:00-13:00' }];
  const watch = await open({ hours });
  expect(await watch.look()).toBe('');
  nowMs += 3_600_000;
  expect(await watch.look()).toBe('outside of its hours (thu 12:00-13:00)');
});
