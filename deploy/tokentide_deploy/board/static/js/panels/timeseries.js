// Values over time: lines, areas, bars, points; stacked, stacked to 100 %; two axes; thresholds; annotations.
import { axisStyle, ink, makeChart, tip, tooltipStyle, zoomByDrag } from '../chart.js';
import { paletteColor, seriesColors, themeColor } from '../colors.js';
import { aligned, seriesOf } from '../fields.js';
import { legend } from '../legend.js';
import { markSeries, marksAt, marksInWords } from '../marks.js';
import { formatTime, fromWall, tickText, toWall, wallTicks } from '../time.js';
import { formatTick, formatValue } from '../units.js';

const STEPS = { stepAfter: 'end', stepBefore: 'start' };

function colorOf(series, index, byName, theme) {
  const color = series.config.color;
  if (color?.mode === 'fixed') return themeColor(color.fixedColor, theme);
  return color?.mode === 'palette-classic' ? paletteColor(index) : byName.get(series.name);
}

/** Draws into `body`; returns { summary, dispose } or null when there is nothing to draw. */
export function draw(panel, frames, body, board) {
  const series = seriesOf(panel, frames).filter((one) => one.points.some((point) => point[1] !== null));
  if (!series.length) return null;
  const zone = frames[0].timezone;
  const { times, columns } = aligned(series);
  const colors = ink(body);
  const [from, to] = board.range;
  const stacking = series[0].config.custom.stacking?.mode ?? 'none';
  const isStacked = stacking === 'normal' || stacking === 'percent';
  const shownColumns = stacking === 'percent' ? shares(columns) : columns;
  const units = [...new Set(series.map((one) => (stacking === 'percent' ? 'percentunit' : one.config.unit ?? 'short')))];
  const walls = times.map((ms) => toWall(ms, zone));
  const marks = board.annotations ?? [];
  const byName = seriesColors(series.map((one) => one.name));
  const items = series.map((one, i) => ({ name: one.name, color: colorOf(one, i, byName, board.theme), values: columns[i], config: one.config,
    href: board.linkFor(one.config.links?.[0], { labels: one.labels, seriesName: one.name, fieldName: one.field }) }));

  // Beside the chart only where both have room: few names fit below it.
  const hasRoom = series.length > 2 && body.clientWidth > 26 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  body.classList.add(panel.options?.legend?.placement === 'right' && hasRoom ? 'legend-right' : 'legend-bottom');
  const plot = document.createElement('div');
  plot.className = 'plot';
  body.append(plot);
  const names = items.map((item) => item.name);
  const summary = `${names.length === 1 ? 'One series' : `${names.length} series`}: ${names.slice(0, 5).join(', ')}${names.length > 5 ? ' and more' : ''}; ${formatTime(from, zone)} to ${formatTime(to, zone)}. ${marksInWords(marks)}`.trim();
  const { chart, canvas, dispose } = makeChart(plot, `${panel.title}. ${summary}`);

  const isPointy = times.length < 3;
  const option = () => ({
    animation: false, useUTC: true,
    grid: { left: 4, right: units.length > 1 ? 4 : 12, top: 10, bottom: 2, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    tooltip: { ...tooltipStyle(colors), trigger: 'axis', axisPointer: { type: 'line', lineStyle: { color: colors.text, type: 'dashed' } },
      formatter: (hits) => tooltip(Array.isArray(hits) ? hits : [hits]) },
    xAxis: { type: 'time', min: toWall(from, zone), max: toWall(to, zone), ...axisStyle(colors), splitLine: { show: false },
      axisLabel: { ...axisStyle(colors).axisLabel, formatter: (wall) => tickText(wall, to - from),
        customValues: wallTicks(toWall(from, zone), toWall(to, zone), Math.max(2, Math.min(12, Math.floor(canvas.clientWidth / (colors.size * 7))))) } },
    yAxis: units.slice(0, 2).map((unit, i) => {
      const config = series.find((one) => (one.config.unit ?? 'short') === unit)?.config ?? series[0].config;
      const scale = config.custom.scaleDistribution ?? {};
      return { type: scale.type === 'log' ? 'log' : 'value', logBase: scale.log ?? 10, position: i ? 'right' : 'left',
        min: scale.type === 'log' ? undefined : stacking === 'percent' ? 0 : config.min ?? undefined, max: stacking === 'percent' ? 1 : config.max ?? undefined,
        minInterval: areCounts(unit, series) ? 1 : undefined,
        splitNumber: Math.max(2, Math.min(6, Math.round(canvas.clientHeight / 45))), ...axisStyle(colors), splitLine: { show: i === 0, lineStyle: { color: colors.line } },
        axisLabel: { ...axisStyle(colors).axisLabel, formatter: (value) => formatTick(value, unit, 0) } };
    }),
    series: series.map((one, i) => drawn(one, i)).concat(marks.length ? [markSeries(marks, zone, board.theme)] : []),
  });
  const drawn = (one, i) => {
    const custom = one.config.custom;
    const style = custom.drawStyle ?? 'line';
    const hiddenHere = board.hidden.has(one.name);
    const data = hiddenHere ? [] : walls.map((x, row) => {
      const value = shownColumns[i][row];
      return [x, value === null || Number.isNaN(value) ? (isStacked ? 0 : null) : value];
    }).filter((point) => isStacked || point[1] !== null || !custom.spanNulls);
    // Many areas over each other would be one grey.
    const opacity = ((custom.fillOpacity ?? 0) / 100) * (isStacked ? 1 : Math.min(1, 2 / series.length));
    return {
      name: one.name, type: style === 'bars' ? 'bar' : 'line', data, yAxisIndex: Math.max(0, Math.min(1, units.indexOf(stacking === 'percent' ? 'percentunit' : one.config.unit ?? 'short'))),
      stack: isStacked ? (custom.stacking?.group ?? 'A') : undefined, step: STEPS[custom.lineInterpolation], smooth: custom.lineInterpolation === 'smooth' ? 0.3 : false, smoothMonotone: 'x',
      showSymbol: style === 'points' || custom.showPoints === 'always' || isPointy, symbol: 'circle', symbolSize: custom.pointSize ?? 5, connectNulls: Boolean(custom.spanNulls),
      barMaxWidth: 60, barCategoryGap: '12%', color: items[i].color, emphasis: { disabled: true }, triggerLineEvent: true,
      lineStyle: { width: style === 'points' ? 0 : custom.lineWidth ?? 1, color: items[i].color, type: custom.lineStyle?.fill === 'dash' ? 'dashed' : 'solid' },
      areaStyle: style === 'line' && opacity > 0 ? { opacity, color: items[i].color } : undefined,
      itemStyle: { color: items[i].color, opacity: style === 'bars' && opacity ? Math.max(opacity, 0.3) : 1 },
      markLine: thresholdLines(one, i),
    };
  };
  const thresholdLines = (one, i) => {
    const mode = one.config.custom.thresholdsStyle?.mode ?? 'off';
    if (i > 0 || !/line|dashed/.test(mode)) return undefined;
    return { silent: true, symbol: 'none', label: { show: false }, lineStyle: { type: /dashed/.test(mode) ? 'dashed' : 'solid' },
      data: (one.config.thresholds?.steps ?? []).filter((step) => step.value !== null).map((step) => ({ yAxis: step.value, lineStyle: { color: themeColor(step.color, board.theme) } })) };
  };
  const tooltip = (hits) => {
    const wall = hits[0]?.axisValue;
    const row = walls.indexOf(wall);
    if (row < 0) return '';
    const rows = series.map((one, i) => ({ name: one.name, value: columns[i][row], share: shownColumns[i][row], color: items[i].color, config: one.config }))
      .filter((one) => one.value !== null && !board.hidden.has(one.name) && !(isStacked && one.value === 0));
    const sort = panel.options?.tooltip?.sort;
    if (sort === 'desc' || (sort !== 'asc' && rows.length > 12)) rows.sort((a, b) => b.value - a.value);
    if (sort === 'asc') rows.sort((a, b) => a.value - b.value);
    const near = Math.max((to - from) / 150, 1);
    const noted = marksAt(marks, times[row], near).map((mark) => [mark.title || mark.name, mark.text].filter(Boolean).join(': '));
    const total = rows.reduce((sum, one) => sum + one.value, 0);
    return tip(formatTime(times[row], zone), [...rows.slice(0, 20).map((one) => ({ color: one.color, name: one.name,
      text: formatValue(one.value, one.config.unit, one.config.decimals) + (stacking === 'percent' ? ` (${formatValue(one.share, 'percentunit', 1)})` : '') })),
    ...(rows.length > 20 ? [{ name: `and ${rows.length - 20} more`, text: '' }] : []),
    ...(stacking === 'normal' && rows.length > 1 && series[0].config.unit !== 'percentunit' ? [{ name: 'Total', strong: true, text: formatValue(total, series[0].config.unit, series[0].config.decimals) }] : [])],
    noted.length ? noted.slice(0, 6).join('\n') : '');
  };
  chart.setOption(option());
  chart.on('click', (hit) => {
    const index = series.findIndex((one) => one.name === hit.seriesName);
    if (index < 0) return;
    const one = series[index];
    board.follow(one.config.links, { labels: one.labels, seriesName: one.name, fieldName: one.field, value: hit.value?.[1] });
  });
  const undoZoom = zoomByDrag(chart, canvas, (a, b) => board.zoom(Math.round(fromWall(a, zone)), Math.round(fromWall(b, zone))));
  const show = panel.options?.legend;
  if (show?.showLegend !== false && show?.displayMode !== 'hidden' && !(series.length === 1 && !items[0].href && series[0].name === series[0].field)) {
    const holder = document.createElement('div');
    holder.className = 'legend-holder';
    const fill = () => holder.replaceChildren(legend(hasRoom ? show : { ...show, displayMode: series.length > 2 ? show.displayMode : 'list' }, items, board.hidden, () => { fill(); chart.setOption(option(), { replaceMerge: ['series'] }); }));
    fill();
    body.append(holder);
  }
  return { summary, dispose: () => { undoZoom(); dispose(); } };
}

/** Whole numbers without a unit are counts of things: half of one is no tick. */
function areCounts(unit, series) {
  return /^(short|none)$/.test(unit) && series.every((one) => one.points.every((point) => point[1] === null || Number.isInteger(point[1])));
}

function shares(columns) {
  const totals = columns[0].map((_, row) => columns.reduce((sum, column) => sum + (column[row] ?? 0), 0));
  return columns.map((column) => column.map((value, row) => (value === null ? null : totals[row] ? value / totals[row] : 0)));
}
