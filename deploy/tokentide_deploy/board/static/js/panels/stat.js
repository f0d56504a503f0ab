// Big numbers: value, colour by threshold, sparkline.
import { themeColor, thresholdColor, seriesColor } from '../colors.js';
import { h } from '../dom.js';
import { display, reducedValues } from '../fields.js';

export function draw(panel, frames, body, board) {
  const options = panel.options ?? {};
  let values = reducedValues(panel, frames);
  if (!values.length) values = [{ name: '', value: null, trend: [], config: panel.fieldConfig?.defaults ?? {}, labels: {} }];
  body.classList.add('stats');
  for (const one of values) {
    const shown = display(one.value, one.config);
    const isNumber = typeof one.value === 'number';
    const color = shown.color ? themeColor(shown.color, board.theme)
      : one.config.color?.mode === 'fixed' ? themeColor(one.config.color.fixedColor, board.theme)
        : one.config.color?.mode?.startsWith('palette') ? seriesColor(one.name)
          : isNumber ? thresholdColor(one.config, one.value, board.theme, one.config.min, one.config.max) : themeColor('text', board.theme);
    const withName = options.textMode === 'value_and_name' || options.textMode === 'name' || (options.textMode !== 'value' && values.length > 1);
    // A unit is read after its number and may be smaller than it.
    const split = /^(.*\d)(\s[^\d]+)$/.exec(shown.text);
    const href = board.linkFor(one.config.links?.[0], { labels: one.labels, seriesName: one.name, value: one.value, text: shown.text });
    const number = h('span', { class: shown.isEmpty ? 'stat-value empty' : 'stat-value' }, split ? [split[1], h('span', { class: 'stat-unit' }, split[2])] : shown.text);
    if (!shown.isEmpty && options.colorMode !== 'none') number.style.color = color;
    const card = h(href ? 'a' : 'div', { class: 'stat', href: href ?? undefined }, withName ? h('span', { class: 'stat-name' }, one.name) : null, number);
    if (options.colorMode === 'background' || options.colorMode === 'background_solid') { card.classList.add('filled'); card.style.setProperty('--fill', color); }
    if (options.graphMode === 'area' && one.trend.length > 1) card.append(sparkline(one.trend, color));
    body.append(card);
  }
  return { summary: values.map((one) => `${one.name && values.length > 1 ? `${one.name}: ` : ''}${display(one.value, one.config).text}`).join('; '), dispose: () => {} };
}

function sparkline(points, color) {
  const known = points.filter((point) => typeof point[1] === 'number');
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'spark');
  svg.setAttribute('viewBox', '0 0 100 30');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  if (known.length < 2) return svg;
  const [t0, t1] = [known[0][0], known.at(-1)[0]];
  const low = Math.min(...known.map((p) => p[1]), 0), high = Math.max(...known.map((p) => p[1]));
  const path = known.map(([t, v], i) => `${i ? 'L' : 'M'}${(((t - t0) / (t1 - t0 || 1)) * 100).toFixed(2)} ${(29 - ((v - low) / (high - low || 1)) * 27).toFixed(2)}`).join('');
  for (const [d, fill] of [[`${path}L100 30L0 30Z`, true], [path, false]]) {
    const one = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    one.setAttribute('d', d);
    one.style.fill = fill ? color : 'none';
    one.style.stroke = fill ? 'none' : color;
    if (fill) one.style.opacity = '0.16';
    svg.append(one);
  }
  return svg;
}
