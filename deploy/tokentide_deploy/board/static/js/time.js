// Time ranges, time zones, and how times are written. Pure; `now` is an argument.

const MINUTE = 60_000, HOUR = 3_600_000, DAY = 86_400_000;
const offsetFormats = new Map();
const offsets = new Map();

function parts(ms, zone) {
  let format = offsetFormats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric',
      day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' });
    offsetFormats.set(zone, format);
  }
  return Object.fromEntries(format.formatToParts(ms).map((part) => [part.type, Number(part.value)]));
}

/** Milliseconds to add to UTC to get the wall clock of `zone` at `ms`. */
export function zoneOffset(ms, zone) {
  if (zone === 'UTC') return 0;
  // Offsets change on quarter hours at most.
  const quarter = Math.floor(ms / (15 * MINUTE));
  const key = `${zone} ${quarter}`;
  if (!offsets.has(key)) {
    if (offsets.size > 50_000) offsets.clear();
    const at = quarter * 15 * MINUTE;
    const p = parts(at, zone);
    offsets.set(key, Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second) - at);
  }
  return offsets.get(key);
}

/** The wall clock of `zone` as if it were UTC: what a chart's axis and a date input show. */
export const toWall = (ms, zone) => ms + zoneOffset(ms, zone);

/** The moment at which the wall clock of `zone` shows `wall`. */
export function fromWall(wall, zone) {
  const guess = wall - zoneOffset(wall, zone);
  return wall - zoneOffset(guess, zone);
}

const UNITS = { s: 1000, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY };

function shifted(ms, sign, count, unit, zone) {
  if (unit in UNITS && unit !== 'd' && unit !== 'w') return ms + sign * count * UNITS[unit];
  const date = new Date(toWall(ms, zone));
  if (unit === 'd') date.setUTCDate(date.getUTCDate() + sign * count);
  else if (unit === 'w') date.setUTCDate(date.getUTCDate() + sign * count * 7);
  else {
    // A month before 29 March is 28 February where there is no 29 February.
    const day = date.getUTCDate();
    date.setUTCDate(1);
    date.setUTCMonth(date.getUTCMonth() + sign * count * (unit === 'y' ? 12 : 1));
    date.setUTCDate(Math.min(day, new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()));
  }
  return fromWall(date.getTime(), zone);
}

function rounded(ms, unit, zone, up) {
  const date = new Date(toWall(ms, zone));
  if (unit === 's') date.setUTCMilliseconds(0);
  else if (unit === 'm') date.setUTCSeconds(0, 0);
  else if (unit === 'h') date.setUTCMinutes(0, 0, 0);
  else {
    date.setUTCHours(0, 0, 0, 0);
    if (unit === 'w') date.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7));
    if (unit === 'M' || unit === 'y') date.setUTCDate(1);
    if (unit === 'y') date.setUTCMonth(0);
  }
  const start = fromWall(date.getTime(), zone);
  return up ? shifted(start, 1, 1, unit, zone) - 1 : start;
}

/** Grafana's notation (now-1h, now-1d/d, milliseconds, ISO) as milliseconds; null when it is none. */
export function parseTime(text, zone, now, isEnd = false) {
  const trimmed = String(text).trim();
  if (/^\d{10,}$/.test(trimmed)) return Number(trimmed);
  if (trimmed.startsWith('now')) {
    let ms = now;
    let rest = trimmed.slice(3);
    while (rest) {
      const found = /^(?:([+-])(\d+)([smhdwMy])|\/([smhdwMy]))/.exec(rest);
      if (!found) return null;
      ms = found[4] ? rounded(ms, found[4], zone, isEnd) : shifted(ms, found[1] === '-' ? -1 : 1, Number(found[2]), found[3], zone);
      rest = rest.slice(found[0].length);
    }
    return ms;
  }
  const iso = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?(?:\.\d+)?(Z)?)?$/.exec(trimmed);
  if (!iso) return null;
  const wall = Date.UTC(+iso[1], +iso[2] - 1, +iso[3], +(iso[4] ?? 0), +(iso[5] ?? 0), +(iso[6] ?? 0));
  return iso[7] ? wall : fromWall(wall, zone);
}

export const QUICK_RANGES = [
  ['now-5m', 'now', 'Last 5 minutes'], ['now-15m', 'now', 'Last 15 minutes'], ['now-1h', 'now', 'Last hour'],
  ['now-6h', 'now', 'Last 6 hours'], ['now-24h', 'now', 'Last 24 hours'], ['now-7d', 'now', 'Last 7 days'],
  ['now-30d', 'now', 'Last 30 days'], ['now-90d', 'now', 'Last 90 days'], ['now-6M', 'now', 'Last 6 months'],
  ['now-1y', 'now', 'Last year'], ['now-13M', 'now', 'Last 13 months'], ['now/d', 'now', 'Today so far'],
  ['now-1d/d', 'now-1d/d', 'Yesterday'], ['now/w', 'now', 'This week so far'], ['now-1w/w', 'now-1w/w', 'Last calendar week'],
  ['now/M', 'now', 'This month so far'], ['now-1M/M', 'now-1M/M', 'Last calendar month'], ['now/y', 'now', 'This year so far'],
];

const NAMES = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week', M: 'month', y: 'year' };

/** A range in words: its quick name, or both ends. */
export function rangeText(from, to, zone, now) {
  const quick = QUICK_RANGES.find(([f, t]) => f === from && t === to);
  if (quick) return quick[2];
  const relative = /^now-(\d+)([smhdwMy])$/.exec(from);
  if (relative && to === 'now') return `Last ${relative[1]} ${NAMES[relative[2]]}${relative[1] === '1' ? '' : 's'}`;
  const a = parseTime(from, zone, now), b = parseTime(to, zone, now, true);
  return `${formatTime(a, zone)} to ${formatTime(b, zone)}`;
}

const two = (n) => String(n).padStart(2, '0');

/** 2026-11-22 14:05, with seconds only where there are some. */
export function formatTime(ms, zone, always = true) {
  if (ms === null || ms === undefined) return '';
  const d = new Date(toWall(ms, zone));
  const day = `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`;
  if (!always && ms === fromWall(Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate()), zone)) return day;
  const seconds = d.getUTCSeconds() ? `:${two(d.getUTCSeconds())}` : '';
  return `${day} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}${seconds}`;
}

/** A column of times: days alone when every time is a midnight. */
export function timeColumnFormat(values, zone) {
  const days = values.every((ms) => ms === null || toWall(ms, zone) % DAY === 0);
  const seconds = values.some((ms) => ms !== null && Math.floor(ms / 1000) % 60 !== 0);
  return (ms) => {
    const text = formatTime(ms, zone);
    return days ? text.slice(0, 10) : seconds && text.length === 16 ? `${text}:00` : text;
  };
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** The label of an axis at a wall clock's time: as much as differs from label to label over a range of `span` ms. */
export function tickText(wall, span) {
  const d = new Date(wall);
  const clock = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
  if (span <= 10 * MINUTE) return `${clock}:${two(d.getUTCSeconds())}`;
  if (wall % DAY !== 0 && span < 40 * DAY) return clock;
  if (d.getUTCDate() === 1 && span > 120 * DAY) return d.getUTCMonth() === 0 ? String(d.getUTCFullYear()) : MONTHS[d.getUTCMonth()];
  return `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]}`;
}

const TICK_STEPS = [1, 2, 5, 10, 15, 30].map((n) => n * 1000).concat([1, 2, 5, 10, 15, 30].map((n) => n * MINUTE), [1, 2, 3, 6, 12].map((n) => n * HOUR));

/** Wall-clock times for at most `count` labels between two wall clocks: round hours, midnights, first days of months. */
export function wallTicks(from, to, count) {
  const wanted = (to - from) / Math.max(count, 1);
  const step = TICK_STEPS.find((one) => one >= wanted);
  const found = [];
  if (step) {
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
    return found;
  }
  const date = new Date(Math.ceil(from / DAY) * DAY);
  if (wanted <= 14 * DAY) {
    const days = [1, 2, 7, 14].find((one) => one * DAY >= wanted);
    // Weeks are counted from Mondays: 1970 began on a Thursday.
    const shift = days >= 7 ? 4 : 0;
    for (let day = Math.ceil((date.getTime() / DAY - shift) / days) * days + shift; day * DAY <= to; day += days) found.push(day * DAY);
    return found;
  }
  const months = [1, 2, 3, 6, 12].find((one) => one * 30 * DAY >= wanted) ?? 12 * Math.ceil(wanted / (365 * DAY));
  for (let month = Math.ceil((date.getUTCFullYear() * 12 + date.getUTCMonth() + (date.getUTCDate() > 1 ? 1 : 0)) / months) * months; ; month += months) {
    const at = Date.UTC(Math.floor(month / 12), month % 12, 1);
    if (at > to) return found;
    found.push(at);
  }
}

/** The zone's name with its offset now, such as UTC+01:00. */
export function offsetText(zone, now) {
  const minutes = Math.round(zoneOffset(now, zone) / MINUTE);
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** A range moved by half its length or doubled, as absolute milliseconds. `now` bounds nothing: the future is empty. */
export function movedRange(fromMs, toMs, how) {
  const half = Math.round((toMs - fromMs) / 2);
  if (how === 'back') return [fromMs - half, toMs - half];
  if (how === 'forward') return [fromMs + half, toMs + half];
  return [fromMs - half, toMs + half];
}
