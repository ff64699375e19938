/** A part of the week, by a machine's local time; days count from Sunday, 0. */
export interface Hours {
  /** On which it begins. */
  readonly days: readonly number[];
  readonly fromMinute: number;
  /** Not after `fromMinute`: on the next day. */
  readonly toMinute: number;
  /** As it was written. */
  readonly text: string;
}

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const EVERY_DAY = DAYS.map((_, day) => day);
const DAY_MINUTES = 1440;

/** `22:00-07:00`, `mon-fri 18:00-08:00`, `sat 00:00-24:00`, or several with commas between. Undefined for anything else. */
export function parseHours(text: string): readonly Hours[] | undefined {
  const parts = text.split(',').map(parsePart);
  return parts.every((part) => part !== undefined) ? parts : undefined;
}

function parsePart(text: string): Hours | undefined {
  const match = /^\s*(?:([a-z]{3})(?:\s*-\s*([a-z]{3}))?\s+)?(\d{1,2}:\d{2})\s*-\s*(\d{1,2}:\d{2})\s*$/i.exec(text);
  if (match === null) return undefined;
  const [, firstDay, lastDay, from, to] = match;
  const days = firstDay === undefined ? EVERY_DAY : daysFrom(firstDay, lastDay ?? firstDay);
  const [fromMinute, toMinute] = [minuteOf(from!), minuteOf(to!)];
  if (days === undefined || fromMinute === undefined || toMinute === undefined) return undefined;
  if (fromMinute === DAY_MINUTES || fromMinute === toMinute) return undefined;
  return { days, fromMinute, toMinute, text: text.trim() };
}

/** `fri` to `mon` goes over the end of the week. */
function daysFrom(first: string, last: string): readonly number[] | undefined {
  const [from, to] = [first, last].map((name) => DAYS.indexOf(name.toLowerCase()));
  if (from! < 0 || to! < 0) return undefined;
  return Array.from({ length: ((to! - from! + 7) % 7) + 1 }, (_, i) => (from! + i) % 7);
}

function minuteOf(time: string): number | undefined {
  const [hour, minute] = time.split(':').map(Number);
  const total = 60 * hour! + minute!;
  return minute! < 60 && total <= DAY_MINUTES ? total : undefined;
}

/** Whether a moment, minutes after midnight of a weekday, is within one of them. */
export function isWithin(hours: readonly Hours[], day: number, minute: number): boolean {
  return hours.some(({ days, fromMinute, toMinute }) => {
    if (fromMinute < toMinute) return days.includes(day) && minute >= fromMinute && minute < toMinute;
    return (days.includes(day) && minute >= fromMinute) || (days.includes((day + 6) % 7) && minute < toMinute);
  });
}
