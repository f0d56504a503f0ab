// A panel's frames with the dashboard's field configuration applied: units, names, overrides, series, reductions. Pure.
import { formatValue } from './units.js';

function matches(matcher, field, frame) {
  const { id, options } = matcher;
  if (id === 'byName') return field.name === options || field.display === options;
  if (id === 'byNames') return (options?.names ?? []).includes(field.name) !== (options?.mode === 'exclude');
  if (id === 'byRegexp') {
    const found = /^\/(.*)\/([a-z]*)$/s.exec(options);
    return (found ? new RegExp(found[1], found[2]) : new RegExp(options)).test(field.display ?? field.name);
  }
  if (id === 'byType') return field.kind === options;
  if (id === 'byFrameRefID') return frame.refId === options;
  return false;
}

/** The configuration of one field: the panel's defaults, then every override that matches. */
export function configOf(panel, field, frame) {
  const defaults = panel.fieldConfig?.defaults ?? {};
  const config = { ...defaults, custom: { ...(defaults.custom ?? {}) } };
  for (const override of panel.fieldConfig?.overrides ?? []) {
    if (!matches(override.matcher, field, frame)) continue;
    for (const { id, value } of override.properties) {
      if (id.startsWith('custom.')) config.custom[id.slice(7)] = value;
      else config[id] = value;
    }
  }
  return config;
}

function mapped(mappings, value) {
  for (const mapping of mappings ?? []) {
    const { type, options } = mapping;
    if (type === 'value' && options[String(value)]) return options[String(value)];
    if (type === 'range' && typeof value === 'number' && value >= (options.from ?? -Infinity) && value <= (options.to ?? Infinity)) return options.result;
    if (type === 'special') {
      const empty = value === null || value === undefined;
      if ((options.match === 'null' && empty) || (options.match === 'empty' && value === '') || (options.match === 'null+nan' && (empty || Number.isNaN(value)))) return options.result;
    }
    if (type === 'regex' && typeof value === 'string') {
      const found = /^\/(.*)\/([a-z]*)$/s.exec(options.pattern);
      const pattern = found ? new RegExp(found[1], found[2]) : new RegExp(options.pattern);
      if (pattern.test(value)) return { ...options.result, text: options.result.text?.includes('$') ? value.replace(pattern, options.result.text) : options.result.text };
    }
  }
  return null;
}

/** Text (and a mapping's colour) of one value of a field. */
export function display(value, config) {
  const result = mapped(config.mappings, value);
  if (result) return { text: result.text ?? String(value ?? ''), color: result.color };
  if (value === null || value === undefined) return { text: config.noValue ?? '–', isEmpty: true };
  return { text: typeof value === 'number' ? formatValue(value, config.unit ?? 'short', config.decimals) : String(value) };
}

/** Frames that the panel's transformations have changed. Throws for one that the board does not know. */
export function transformed(panel, frames) {
  let found = frames;
  for (const { id, options, disabled } of panel.transformations ?? []) {
    if (disabled) continue;
    if (id === 'organize') found = found.map((frame) => organised(frame, options));
    else if (id === 'sortBy') found = found.map((frame) => sorted(frame, options));
    else if (id === 'limit') found = found.map((frame) => ({ ...frame, fields: frame.fields.map((f) => ({ ...f, values: f.values.slice(0, options.limitField ?? 10) })) }));
    else if (id === 'merge') found = found.slice(0, 1);
    else throw new Error(`The board does not know the transformation ${id}.`);
  }
  return found;
}

function organised(frame, { excludeByName = {}, renameByName = {}, indexByName = {} } = {}) {
  const kept = frame.fields.filter((field) => !excludeByName[field.name]);
  const at = (field) => indexByName[field.name] ?? 1e6;
  return { ...frame, fields: kept.map((field, i) => [field, i]).sort(([a, i], [b, j]) => at(a) - at(b) || i - j)
    .map(([field]) => ({ ...field, name: renameByName[field.name] || field.name })) };
}

function sorted(frame, options) {
  const [rule] = options?.sort ?? [];
  const key = frame.fields.find((field) => field.name === rule?.field);
  if (!key) return frame;
  const order = key.values.map((_, i) => i).sort((a, b) => compare(key.values[a], key.values[b]) * (rule.desc ? -1 : 1));
  return { ...frame, fields: frame.fields.map((field) => ({ ...field, values: order.map((i) => field.values[i]) })) };
}

export function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), 'en', { numeric: true });
}

/** Long rows (time, names, value) as series: name, labels, config, and points [time, value] in order of first sight. */
export function seriesOf(panel, frames) {
  const found = new Map();
  for (const frame of frames) {
    const time = frame.fields.find((field) => field.kind === 'time');
    const names = frame.fields.filter((field) => field.kind === 'string');
    const numbers = frame.fields.filter((field) => field.kind === 'number');
    if (!time) continue;
    for (const number of numbers) {
      for (let row = 0; row < time.values.length; row += 1) {
        const key = `${frame.refId}\u0000${number.name}\u0000${names.map((field) => field.values[row]).join('\u0000')}`;
        let one = found.get(key);
        if (!one) {
          const labels = Object.fromEntries(names.map((field) => [field.name, field.values[row]]));
          const label = Object.values(labels).join(', ');
          const name = label ? (numbers.length > 1 ? `${number.name} ${label}` : label) : number.name;
          const config = configOf(panel, { name: number.name, display: name, kind: 'number' }, frame);
          one = { name: config.displayName ? config.displayName.replace(/\$\{__field\.labels\.(\w+)\}/g, (_, k) => labels[k] ?? '') : name, labels, config, field: number.name, points: [] };
          found.set(key, one);
        }
        one.points.push([time.values[row], number.values[row]]);
      }
    }
  }
  return [...found.values()].filter((one) => !one.config.custom?.hideFrom?.viz);
}

/** Series on one axis of times: sorted times, and each series' values there (null where it has none). */
export function aligned(series) {
  const times = [...new Set(series.flatMap((one) => one.points.map(([ms]) => ms)))].sort((a, b) => a - b);
  const place = new Map(times.map((ms, i) => [ms, i]));
  return { times, columns: series.map((one) => {
    const column = new Array(times.length).fill(null);
    for (const [ms, value] of one.points) column[place.get(ms)] = value;
    return column;
  }) };
}

const present = (values) => values.filter((value) => value !== null && value !== undefined && !Number.isNaN(value));
const numbersOf = (values) => present(values).filter((value) => typeof value === 'number');
const sum = (values) => numbersOf(values).reduce((a, b) => a + b, 0);

export const CALCULATIONS = {
  lastNotNull: ['Last', (v) => present(v).at(-1) ?? null], last: ['Last', (v) => v.at(-1) ?? null],
  firstNotNull: ['First', (v) => present(v)[0] ?? null], first: ['First', (v) => v[0] ?? null],
  mean: ['Mean', (v) => (numbersOf(v).length ? sum(v) / numbersOf(v).length : null)],
  sum: ['Total', (v) => (numbersOf(v).length ? sum(v) : null)],
  max: ['Max', (v) => (numbersOf(v).length ? numbersOf(v).reduce((a, b) => Math.max(a, b)) : null)],
  min: ['Min', (v) => (numbersOf(v).length ? numbersOf(v).reduce((a, b) => Math.min(a, b)) : null)],
  count: ['Count', (v) => v.length],
  range: ['Range', (v) => (numbersOf(v).length ? Math.max(...numbersOf(v)) - Math.min(...numbersOf(v)) : null)],
  diff: ['Difference', (v) => (present(v).length ? present(v).at(-1) - present(v)[0] : null)],
};

/** One value of many. Throws for a calculation that the board does not know. */
export function reduce(calculation, values) {
  const found = CALCULATIONS[calculation];
  if (!found) throw new Error(`The board does not know the calculation ${calculation}.`);
  return found[1](values);
}

/** What stat, gauge, bar gauge and pie show: name, value, config, row context; by field, or by row where `values` is on. */
export function reducedValues(panel, frames) {
  const options = panel.options?.reduceOptions ?? {};
  const calculation = options.calcs?.[0] ?? 'lastNotNull';
  const wanted = options.fields ? (() => { const f = /^\/(.*)\/$/.exec(options.fields); const r = f ? new RegExp(f[1]) : null; return (n) => (r ? r.test(n) : n === options.fields); })() : null;
  const found = [];
  for (const frame of frames) {
    const names = frame.fields.filter((field) => field.kind === 'string');
    const numbers = frame.fields.filter((field) => (wanted ? wanted(field.name) : field.kind === 'number'));
    const hasTime = frame.fields.some((field) => field.kind === 'time');
    if (options.values || (names.length && numbers.length && !hasTime)) {
      const rows = Math.min(frame.fields[0]?.values.length ?? 0, options.limit ?? 100);
      for (let row = 0; row < rows; row += 1) {
        for (const number of numbers) {
          const label = names.map((field) => field.values[row]).join(', ') || number.name;
          const name = numbers.length > 1 && names.length ? `${label} ${number.name}` : label;
          found.push({ name, value: number.values[row], trend: [], row, frame,
            config: configOf(panel, { name: number.name, display: name, kind: number.kind }, frame),
            labels: Object.fromEntries(names.map((field) => [field.name, field.values[row]])) });
        }
      }
    } else if (hasTime && names.length) {
      for (const one of seriesOf(panel, [frame])) {
        const values = one.points.map((point) => point[1]);
        found.push({ name: one.name, value: reduce(calculation, values), trend: one.points, config: one.config, labels: one.labels, frame, row: 0 });
      }
    } else {
      const time = frame.fields.find((field) => field.kind === 'time');
      for (const number of numbers) {
        found.push({ name: number.name, value: reduce(calculation, number.values), config: configOf(panel, number, frame), labels: {}, frame, row: 0,
          trend: time ? number.values.map((value, i) => [time.values[i], value]) : [] });
      }
    }
  }
  return found;
}
