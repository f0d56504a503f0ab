// Grafana's colour names in both themes, and one colour for each series name on the whole board.

const NAMED = {
  dark: { green: '#6bc46d', yellow: '#f2c94c', orange: '#ff9a3c', red: '#ff6b74', blue: '#6ea8fe', purple: '#b98cff' },
  light: { green: '#1b7f3b', yellow: '#8a6100', orange: '#b34d00', red: '#c4162a', blue: '#1f60c4', purple: '#7a3fd0' },
};
// The first ones are far apart in hue, for the leading names; the others tell further names apart from them.
const PALETTE = ['#4f7fee', '#f0a53a', '#3fb8a3', '#e4587a', '#8d63dd', '#74b83f', '#a3714d',
  '#2b9fc9', '#d96fc6', '#c2b93c', '#8fb3f7', '#d97a3d', '#4f9468', '#f29ab5', '#7fd0c4', '#b3475f', '#b596ee'];
const LEADING = 7;
const REST = '#8b92a0';
const CONTINUOUS = {
  'continuous-blues': ['#e7effc', '#1f4ea8'], 'continuous-greens': ['#e6f6e9', '#15702f'],
  'continuous-reds': ['#fdeaea', '#b21525'], 'continuous-purples': ['#f2eafd', '#6427c4'],
  'continuous-GrYlRd': ['#3f9f52', '#e8c33a', '#d63b45'], 'continuous-RdYlGr': ['#d63b45', '#e8c33a', '#3f9f52'],
  'continuous-BlYlRd': ['#3f6fd6', '#e8c33a', '#d63b45'], 'continuous-BlPu': ['#3f6fd6', '#9c4fd0'],
  'continuous-YlRd': ['#f0d264', '#d63b45'], 'continuous-YlBl': ['#f0d264', '#3f6fd6'],
};

function hash(text) {
  let value = 2166136261;
  for (const character of text) value = Math.imul(value ^ character.codePointAt(0), 16777619) >>> 0;
  return value;
}

/**
 * Colours of a panel's names: each name's own, the same in every panel. Where two names of one panel would share a
 * colour, the later one takes the next free colour.
 */
export function seriesColors(names) {
  const claimed = new Set();
  const found = new Map();
  for (const name of names) {
    if (found.has(name)) continue;
    if (/^\((other|none|unlabelled|unknown)/i.test(name)) { found.set(name, /other/i.test(name) ? REST : '#b3a89a'); continue; }
    let index = hash(name) % LEADING;
    // First the other leading colours, then the rest, then any.
    for (let tries = 1; tries < LEADING && claimed.has(index); tries += 1) index = (index + 1) % LEADING;
    if (claimed.has(index)) {
      const rest = PALETTE.length - LEADING;
      index = LEADING + (hash(name) % rest);
      for (let tries = 1; tries < rest && claimed.has(index); tries += 1) index = LEADING + ((index - LEADING + 1) % rest);
    }
    claimed.add(index);
    found.set(name, PALETTE[index]);
  }
  return found;
}

/** The colour of a name that stands alone. */
export const seriesColor = (name) => seriesColors([name]).get(name);

export const paletteColor = (index) => PALETTE[index % PALETTE.length];

/** A colour of a dashboard: a name, optionally with light-, dark-, semi-dark- or super-light-, or CSS. */
export function themeColor(name, theme) {
  if (!name) return 'currentColor';
  if (name === 'text') return theme === 'dark' ? '#e6e8ee' : '#1c2230';
  if (name === 'transparent') return 'transparent';
  const base = name.replace(/^(super-light|semi-dark|light|dark)-/, '');
  return NAMED[theme][base] ?? name;
}

/** The threshold colour of a value. `steps` as in Grafana; mode percentage counts from `min` to `max`. */
export function thresholdColor(config, value, theme, min = 0, max = 100) {
  const steps = config?.thresholds?.steps ?? [];
  const isPercentage = config?.thresholds?.mode === 'percentage';
  const measured = isPercentage ? ((value - min) / ((max - min) || 1)) * 100 : value;
  let color = steps[0]?.color ?? 'text';
  for (const step of steps) {
    if (step.value === null || step.value === undefined || measured >= step.value) color = step.color;
  }
  return themeColor(color, theme);
}

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** A colour between those of a continuous scheme, `part` from 0 to 1. */
export function continuousColor(mode, part, theme) {
  const stops = CONTINUOUS[mode] ?? CONTINUOUS['continuous-blues'];
  const ordered = theme === 'dark' && stops.length === 2 && mode !== 'continuous-BlPu' ? ['#20283a', stops[1]] : stops;
  const at = Math.min(Math.max(part, 0), 1) * (ordered.length - 1);
  const low = Math.min(Math.floor(at), ordered.length - 2);
  const a = channels(ordered[low]), b = channels(ordered[low + 1]);
  return `#${a.map((channel, i) => Math.round(channel + (b[i] - channel) * (at - low)).toString(16).padStart(2, '0')).join('')}`;
}

/** Black or white, whichever reads better on `hex`. */
export function textOn(hex) {
  const [r, g, b] = channels(hex).map((c) => { const v = c / 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.3 ? '#10141f' : '#ffffff';
}
