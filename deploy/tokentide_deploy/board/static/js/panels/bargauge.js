// Values as bars between a least and a greatest one: bar gauges, and gauges, which say the same in less room.
import { seriesColors, themeColor, thresholdColor, continuousColor } from '../colors.js';
import { h } from '../dom.js';
import { display, reducedValues } from '../fields.js';

export function draw(panel, frames, body, board) {
  const values = reducedValues(panel, frames);
  if (!values.length) return null;
  const known = values.map((one) => one.value).filter((value) => typeof value === 'number');
  const greatest = Math.max(0, ...known);
  const byName = seriesColors(values.map((one) => one.name));
  body.classList.add('bars', 'scrolls');
  body.append(h('ul', { class: 'bar-list' }, values.map((one) => {
    const min = one.config.min ?? 0;
    const max = one.config.max ?? (panel.type === 'gauge' && /^percent/.test(one.config.unit ?? '') ? (one.config.unit === 'percentunit' ? 1 : 100) : greatest);
    const part = typeof one.value === 'number' ? Math.max(0, Math.min((one.value - min) / ((max - min) || 1), 1)) : 0;
    const mode = one.config.color?.mode ?? 'thresholds';
    const color = mode === 'fixed' ? themeColor(one.config.color.fixedColor, board.theme) : mode.startsWith('palette') ? byName.get(one.name)
      : mode.startsWith('continuous') ? continuousColor(mode, part, board.theme) : thresholdColor(one.config, one.value ?? 0, board.theme, min, max);
    const shown = display(one.value, one.config);
    const href = board.linkFor(one.config.links?.[0], { labels: one.labels, seriesName: one.name, value: one.value, text: shown.text,
      cells: Object.fromEntries(one.frame.fields.map((field) => [field.name, field.values[one.row]])) });
    return h('li', {}, h('span', { class: 'bar-name', title: one.name }, href ? h('a', { href }, one.name) : one.name), h('span', { class: 'bar-value' }, shown.text),
      h('span', { class: 'bar-track', role: 'meter', 'aria-label': one.name, 'aria-valuemin': String(min), 'aria-valuemax': String(max), 'aria-valuenow': String(one.value ?? min), 'aria-valuetext': shown.text },
        h('span', { class: 'bar-fill', style: { width: `${part * 100}%`, background: color } })));
  })));
  return { summary: values.map((one) => `${one.name} ${display(one.value, one.config).text}`).slice(0, 8).join(', '), dispose: () => {} };
}
