// Numbers as Grafana writes them: its unit ids, its automatic decimals, its scales. Pure.

const LONG_SCALE = ['', ' K', ' Mil', ' Bil', ' Tri', ' Quadr', ' Quint'];
const MONEY_SCALE = ['', 'K', 'M', 'B', 'T'];
const SI_SCALE = ['', 'k', 'M', 'G', 'T', 'P'];
const IEC_BYTES = [' B', ' KiB', ' MiB', ' GiB', ' TiB', ' PiB'];
const SI_BYTES = [' B', ' kB', ' MB', ' GB', ' TB', ' PB'];
const CURRENCIES = { currencyUSD: '$', currencyEUR: '€', currencyGBP: '£', currencyJPY: '¥' };
const RATES = { reqps: ' req/s', rps: ' rd/s', wps: ' wr/s', ops: ' ops/s', cps: ' c/s', eps: ' evt/s', mps: ' msg/s' };
const PER_MINUTE = { reqpm: ' req/min', opm: ' ops/min', cpm: ' c/min', rpm: ' rd/min' };

const MS_STEPS = [[1000, 1, ' ms'], [60, 1000, ' s'], [60, 60_000, ' min'], [24, 3_600_000, ' hour'],
  [365, 86_400_000, ' day'], [Infinity, 31_536_000_000, ' year']];

/** Three significant digits, none for whole numbers. */
export function automaticDecimals(value) {
  if (value === 0 || value % 1 === 0 || !Number.isFinite(value)) return 0;
  // Of the rounded value: 0.9999 is written 1.00.
  const magnitude = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3)))));
  return Math.min(Math.max(0, 2 - magnitude), 12);
}

export function fixed(value, decimals) {
  const digits = decimals ?? automaticDecimals(value);
  const text = value.toFixed(Math.min(digits, 20));
  return /^-0(\.0*)?$/.test(text) ? text.slice(1) : text;
}

function scaled(value, base, names, decimals, prefix = '', suffix = '') {
  let step = 0;
  let size = Math.abs(value);
  // Rounding may carry into the next step: 999,999 is 1 Mil, not 1000 K.
  while (step < names.length - 1 && Number(fixed(size, decimals ?? automaticDecimals(size))) >= base) {
    size /= base;
    step += 1;
  }
  return `${value < 0 ? '-' : ''}${prefix}${fixed(size, decimals)}${names[step]}${suffix}`;
}

function milliseconds(value, decimals) {
  const size = Math.abs(value);
  if (size !== 0 && size < 1) return size < 0.001 ? `${fixed(value * 1e6, decimals)} ns` : `${fixed(value * 1e3, decimals)} µs`;
  for (const [limit, unit, name] of MS_STEPS) {
    if (size / unit < limit) return fixed(value / unit, decimals) + name;
  }
  return fixed(value, decimals);
}

/** `value` in Grafana's unit `unit`; `decimals` undefined or null: automatic. */
export function formatValue(value, unit = 'short', decimals = undefined) {
  if (value === null || value === undefined || Number.isNaN(value)) return '';
  if (typeof value !== 'number') return String(value);
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '-∞';
  const places = decimals ?? undefined;
  switch (unit) {
    case 'none': case '': return fixed(value, places);
    case 'short': return scaled(value, 1000, LONG_SCALE, places);
    case 'sishort': return scaled(value, 1000, SI_SCALE, places);
    case 'locale': return value.toLocaleString('en', { maximumFractionDigits: places ?? automaticDecimals(value), minimumFractionDigits: places ?? 0 });
    case 'percent': return `${fixed(value, places)}%`;
    case 'percentunit': return `${fixed(value * 100, places ?? automaticDecimals(Number((value * 100).toPrecision(12))))}%`;
    case 'ns': return milliseconds(value / 1e6, places);
    case 'µs': return milliseconds(value / 1e3, places);
    case 'ms': return milliseconds(value, places);
    case 's': return milliseconds(value * 1e3, places);
    case 'm': return milliseconds(value * 60_000, places);
    case 'h': return milliseconds(value * 3_600_000, places);
    case 'd': return milliseconds(value * 86_400_000, places);
    case 'bytes': return scaled(value, 1024, IEC_BYTES, places);
    case 'decbytes': return scaled(value, 1000, SI_BYTES, places);
    case 'bool': return value ? 'True' : 'False';
    default:
  }
  if (unit in CURRENCIES) return scaled(value, 1000, MONEY_SCALE, places, CURRENCIES[unit]);
  if (unit in RATES) return scaled(value, 1000, SI_SCALE, places, '', RATES[unit]);
  if (unit in PER_MINUTE) return scaled(value, 1000, SI_SCALE, places, '', PER_MINUTE[unit]);
  const named = /^(suffix|prefix|currency|si):(.*)$/.exec(unit);
  if (!named) return `${fixed(value, places)} ${unit}`;
  const [, kind, text] = named;
  if (kind === 'prefix') return `${text}${fixed(value, places)}`;
  if (kind === 'currency') return scaled(value, 1000, MONEY_SCALE, places, text);
  if (kind === 'si') return scaled(value, 1000, SI_SCALE, places, '', text);
  return `${fixed(value, places)} ${text}`;
}

/** An axis label: short enough, the same decimals along the axis. `step`: the distance between two labels. */
export function formatTick(value, unit, step) {
  if (value === 0) return unit === 'percentunit' || unit === 'percent' ? '0%' : '0';
  const factor = unit === 'percentunit' ? 100 : 1;
  if (unit === 'percentunit' || unit === 'percent') {
    const places = step ? Math.min(Math.max(0, -Math.floor(Math.log10(step * factor) + 1e-9)), 6) : undefined;
    return formatValue(value, unit, places);
  }
  // 1.50 Mil says no more than 1.5 Mil.
  return formatValue(value, unit).replace(/(\.\d*?)0+(?=\D|$)/, '$1').replace(/\.(?=\D|$)/, '');
}
