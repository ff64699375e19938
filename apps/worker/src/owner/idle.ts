import { statSync } from 'node:fs';
import { join } from 'node:path';
import { LongtailError } from '@longtail/core';
import { together, type Gauge } from './gauges.js';
import { list, toNumber, type Machine } from './machine.js';

/** A way to ask for how long nobody has touched mouse or keyboard: what it prints, in ms. */
interface Question {
  readonly source: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly msOf: (printed: string) => number | undefined;
}

const XPRINTIDLE: Question = { source: 'xprintidle', program: 'xprintidle', args: [], msOf: toNumber };

/** GNOME, on Wayland and X11. */
const MUTTER: Question = {
  source: 'GNOME',
  program: 'gdbus',
  args: [
    ...['call', '--session', '--dest', 'org.gnome.Mutter.IdleMonitor', '--object-path', '/org/gnome/Mutter/IdleMonitor/Core'],
    ...['--method', 'org.gnome.Mutter.IdleMonitor.GetIdletime'],
  ],
  msOf: (printed) => toNumber(/uint64 (\d+)/.exec(printed)?.[1]),
};

/** KDE, and others with the freedesktop screen saver. */
const SCREEN_SAVER: Question = {
  source: 'the screen saver',
  program: 'gdbus',
  args: [
    ...['call', '--session', '--dest', 'org.freedesktop.ScreenSaver', '--object-path', '/org/freedesktop/ScreenSaver'],
    ...['--method', 'org.freedesktop.ScreenSaver.GetSessionIdleTime'],
  ],
  msOf: (printed) => toNumber(/uint32 (\d+)/.exec(printed)?.[1]),
};

/** Nanoseconds since the last input. */
const IOREG: Question = {
  source: 'ioreg',
  program: 'ioreg',
  args: ['-c', 'IOHIDSystem', '-d', '4'],
  msOf: (printed) => {
    const ns = toNumber(/"HIDIdleTime"\s*=\s*(\d+)/.exec(printed)?.[1]);
    return ns === undefined ? undefined : ns / 1e6;
  },
};

/** GetLastInputInfo of user32: ticks of the system's clock, in ms. */
const LAST_INPUT: Question = {
  source: 'GetLastInputInfo',
  program: 'powershell',
  args: [
    '-NoProfile',
    '-Command',
    `Add-Type 'using System;using System.Runtime.InteropServices;public struct L{public uint s;public uint t;}public class U{[DllImport("user32.dll")]public static extern bool GetLastInputInfo(ref L l);public static uint Idle(){L l=new L();l.s=8;GetLastInputInfo(ref l);return (uint)Environment.TickCount-l.t;}}';[U]::Idle()`,
  ],
  msOf: toNumber,
};

/** For how many ms nobody has used the machine. LongtailError `usage` where that cannot be told. */
export async function idleGauge(machine: Machine): Promise<Gauge> {
  if (machine.platform === 'darwin') return askedOr(machine, [IOREG], 'ioreg tells no HIDIdleTime');
  if (machine.platform === 'win32') return askedOr(machine, [LAST_INPUT], 'PowerShell does not tell the last input');
  const { DISPLAY, WAYLAND_DISPLAY } = machine.env;
  const terminals = terminalGauge(machine);
  if (DISPLAY !== undefined || WAYLAND_DISPLAY !== undefined) {
    const desktop = await askedOr(machine, [MUTTER, SCREEN_SAVER, XPRINTIDLE], 'neither GNOME, nor a screen saver, nor xprintidle tells: install xprintidle');
    return together([desktop, ...terminals], shortest);
  }
  if (desktopSockets(machine).length > 0) throw untold('a desktop runs here, but this process has no DISPLAY or WAYLAND_DISPLAY to ask it: join from within the desktop');
  if (terminals.length > 0) return terminals[0]!;
  throw untold('there is no desktop and no terminal to watch');
}

function untold(why: string): LongtailError {
  return new LongtailError(`nobody tells for how long this machine has not been used: ${why}`, {
    code: 'usage',
    where: '--only-idle',
    hint: 'Leave the limit out, or say with --hours when the machine is free.',
  });
}

async function askedOr(machine: Machine, questions: readonly Question[], why: string): Promise<Gauge> {
  for (const { source, program, args, msOf } of questions) {
    const read = async () => {
      const printed = await machine.run(program, args);
      return printed === undefined ? undefined : msOf(printed);
    };
    if ((await read()) !== undefined) return { source, read };
  }
  throw untold(why);
}

function desktopSockets(machine: Machine): readonly string[] {
  const wayland = list(machine, 'run/user').flatMap((user) => list(machine, 'run/user', user).filter((name) => /^wayland-\d+$/.test(name)));
  return [...list(machine, 'tmp/.X11-unix'), ...wayland];
}

/** Typing changes when a terminal was read last, as `w` tells it. Empty where there are none. */
function terminalGauge(machine: Machine): readonly Gauge[] {
  const terminals = () => [
    ...list(machine, 'dev/pts').filter((name) => /^\d+$/.test(name)).map((name) => `dev/pts/${name}`),
    ...list(machine, 'dev').filter((name) => /^tty\d+$/.test(name)).map((name) => `dev/${name}`),
  ];
  const read = async () => {
    const idle = terminals().flatMap((path) => idleMsOf(machine, path) ?? []);
    return idle.length === 0 ? undefined : shortest(idle);
  };
  return terminals().length === 0 ? [] : [{ source: 'terminals', read }];
}

function idleMsOf(machine: Machine, path: string): number | undefined {
  try {
    return Math.max(0, machine.nowMs() - statSync(join(machine.root, path)).atimeMs);
  } catch {
    return undefined; // closed meanwhile
  }
}

function shortest(values: readonly number[]): number {
  return Math.min(...values);
}
