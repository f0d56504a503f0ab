// What all drawn charts share: ECharts set up for the theme, tooltips without markup, zoom by drag, resizing.
import * as echarts from '../vendor/echarts.js';
import { h } from './dom.js';

/** Colours and sizes of the page, for the canvas. */
export function ink(element) {
  const style = getComputedStyle(element);
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  return { text: style.getPropertyValue('--text-2').trim(), strong: style.getPropertyValue('--text').trim(), line: style.getPropertyValue('--grid').trim(),
    panel: style.getPropertyValue('--panel').trim(), font: style.fontFamily, size: Math.round(rem * 0.72 * 10) / 10 };
}

/** An empty chart in `element`, named for screen readers. Dispose it with `disposeChart`. */
export function makeChart(element, label) {
  const canvas = h('div', { class: 'canvas', role: 'img', 'aria-label': label });
  element.append(canvas);
  const chart = echarts.init(canvas, null, { renderer: 'canvas' });
  const observer = new ResizeObserver(() => {
    if (canvas.clientWidth && canvas.clientHeight && !chart.isDisposed()) chart.resize();
  });
  observer.observe(canvas);
  return { chart, canvas, dispose: () => { observer.disconnect(); if (!chart.isDisposed()) chart.dispose(); } };
}

export function axisStyle(colors) {
  return {
    axisLine: { show: false }, axisTick: { show: false },
    axisLabel: { color: colors.text, fontSize: colors.size, fontFamily: colors.font, hideOverlap: true },
    splitLine: { lineStyle: { color: colors.line } },
    nameTextStyle: { color: colors.text, fontSize: colors.size, fontFamily: colors.font },
  };
}

export const tooltipStyle = (colors) => ({
  confine: true, appendTo: 'body', className: 'tip', backgroundColor: 'transparent', borderWidth: 0, padding: 0, extraCssText: 'box-shadow:none',
  transitionDuration: 0, textStyle: { fontFamily: colors.font },
});

/** The content of a tooltip: a title, and rows of { color, name, text, strong }. */
export function tip(title, rows, note) {
  return h('div', { class: 'tip-card' }, h('div', { class: 'tip-title' }, title), rows.map((row) =>
    h('div', { class: row.strong ? 'tip-row strong' : 'tip-row' }, row.color ? h('i', { class: 'swatch', style: { background: row.color } }) : null, h('span', {}, row.name), h('b', {}, row.text))),
  note ? h('div', { class: 'tip-note' }, note) : null);
}

/** Calls `onRange(from, to)` with x values when the reader drags over the plot. Touch is left to scrolling. */
export function zoomByDrag(chart, canvas, onRange) {
  const mark = h('div', { class: 'drag-mark', hidden: true });
  canvas.append(mark);
  let start = null;
  const xOf = (event) => event.clientX - canvas.getBoundingClientRect().left;
  canvas.addEventListener('pointerdown', (event) => {
    const y = event.clientY - canvas.getBoundingClientRect().top;
    if (event.button !== 0 || event.pointerType === 'touch' || !chart.containPixel('grid', [xOf(event), y])) return;
    start = xOf(event);
  });
  const move = (event) => {
    if (start === null) return;
    const x = Math.max(0, Math.min(xOf(event), canvas.clientWidth));
    mark.hidden = Math.abs(x - start) < 6;
    mark.style.left = `${Math.min(start, x)}px`;
    mark.style.width = `${Math.abs(x - start)}px`;
  };
  const up = (event) => {
    if (start === null) return;
    const x = xOf(event), from = Math.min(start, x), to = Math.max(start, x);
    start = null;
    mark.hidden = true;
    if (to - from < 6) return;
    onRange(chart.convertFromPixel({ xAxisIndex: 0 }, from), chart.convertFromPixel({ xAxisIndex: 0 }, to));
  };
  window.addEventListener('pointermove', move);
  window.addEventListener('pointerup', up);
  return () => { window.removeEventListener('pointermove', move); window.removeEventListener('pointerup', up); };
}

export { echarts };
