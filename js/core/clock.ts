/** One ticking clock for all views of a page: it runs only while somebody looks at it and the page is visible. */
import { trans } from './texts';

const watchers = new Set<() => void>();
let timer: ReturnType<typeof setTimeout> | undefined;

function tick(): void {
  for (const watcher of watchers) watcher();
  schedule();
}

function schedule(): void {
  clearTimeout(timer);
  timer = undefined;
  if (watchers.size === 0 || document.hidden) return;
  timer = setTimeout(tick, 1000 - (Date.now() % 1000)); // all numbers change together, on the second
}

if (typeof document !== 'undefined')
  document.addEventListener('visibilitychange', () => (document.hidden ? schedule() : tick()));

/** Call back on each second while somebody looks at the page; returns what ends it. */
export function everySecond(watcher: () => void): () => void {
  watchers.add(watcher);
  if (timer === undefined) schedule();
  return () => {
    watchers.delete(watcher);
    if (watchers.size === 0) schedule();
  };
}

/** 0:16, 12:03, 7:41:08: never negative, whole seconds rounded so that a countdown ends at 0:00. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  const [h, m, rest] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  const two = (n: number): string => String(n).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(rest)}` : `${m}:${two(rest)}`;
}

const MINUTES = 300; // seconds from which they are minutes,
const HOURS = 7200; // and hours

/** For prose: "12 s", "4 min", "3 h", "2 d". */
export function ago(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < MINUTES) return trans.__('%1 s', s);
  if (s < HOURS) return trans.__('%1 min', Math.round(s / 60));
  return s < 172_800 ? trans.__('%1 h', Math.round(s / 3600)) : trans.__('%1 d', Math.round(s / 86_400));
}

// Made once: `toLocaleString` makes a new one at each call, which is most of the time that a row takes. And made when it
// is first needed: they are most of what our script adds to a page’s start.
function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

const TENTHS = once(() => new Intl.NumberFormat('en', { maximumFractionDigits: 1 }));
const INTEGER = once(() => new Intl.NumberFormat('en', { maximumFractionDigits: 0 }));
const CLOCK = once(() => new Intl.DateTimeFormat(undefined, { timeStyle: 'medium', hourCycle: 'h23' }));
const DATE = once(
  () => new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' }),
);

/** QPU time: 0 s, 8.2 s, 241 s, 20.1 min, 2.5 h. */
export function usageSeconds(seconds: number): string {
  if (seconds < MINUTES) return trans.__('%1 s', (seconds < 100 ? TENTHS() : INTEGER()).format(seconds));
  return seconds < HOURS
    ? trans.__('%1 min', TENTHS().format(seconds / 60))
    : trans.__('%1 h', TENTHS().format(seconds / 3600));
}

/** 1,204. */
export function integer(n: number): string {
  return INTEGER().format(n);
}

/** The wall-clock time of a service time: 12:03:10. */
export function clock(serviceTime: number, offset: number): string {
  return CLOCK().format((serviceTime - offset) * 1000);
}

export function dateTime(serviceTime: number, offset: number): string {
  return DATE().format((serviceTime - offset) * 1000);
}
