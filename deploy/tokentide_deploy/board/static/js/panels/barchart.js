// Bars by category: upright or lying, side by side, stacked or stacked to 100 %.
import { axisStyle, ink, makeChart, tip, tooltipStyle } from '../chart.js';
import { seriesColors, themeColor, thresholdColor } from '../colors.js';
import { configOf } from '../fields.js';
import { legend } from '../legend.js';
import { timeColumnFormat } from '../time.js';
import { formatTick, formatValue } from '../units.js';

export function draw(panel, frames, body, board) {
  const frame = frames[0];
  const options = panel.options ?? {};
  const category = frame?.fields.find((field) => field.name === options.xField) ?? frame?.fields.find((field) => field.kind === 'string') ?? frame?.fields.find((field) => field.kind === 'time');
  const numbers = frame?.fields.filter((field) => field.kind === 'number' && field !== category) ?? [];
  if (!category || !numbers.length || !category.values.length) return null;
  const text = category.kind === 'time' ? timeColumnFormat(category.values, frame.timezone) : (value) => String(value ?? '');
  const names = category.values.map(text);
  const series = numbers.map((field) => ({ field, config: configOf(panel, field, frame) })).filter((one) => !one.config.custom.hideFrom?.viz);
  const isLying = options.orientation === 'horizontal';
  const stacking = options.stacking ?? 'none';
  const totals = names.map((_, row) => series.reduce((sum, one) => sum + (one.field.values[row] ?? 0), 0));
  const unit = stacking === 'percent' ? 'percentunit' : series[0].config.unit ?? 'short';
  const colors = ink(body);
  const nameOf = (one) => one.config.displayName ?? one.field.name;
  const byName = seriesColors(series.map(nameOf));
  const rowColors = seriesColors(names);
  const items = series.map((one) => ({ name: one.config.displayName ?? one.field.name, values: one.field.values, config: one.config,
    color: one.config.color?.mode === 'fixed' ? themeColor(one.config.color.fixedColor, board.theme) : byName.get(nameOf(one)) }));
  const byRow = series.length === 1;
  const barColor = (i, row) => {
    const mode = series[i].config.color?.mode;
    if (mode === 'thresholds') return thresholdColor(series[i].config, series[i].field.values[row], board.theme, series[i].config.min, series[i].config.max);
    return byRow && (options.colorByField || mode === 'palette-classic-by-name') ? rowColors.get(names[row]) : items[i].color;
  };
  body.classList.add(options.legend?.placement === 'right' ? 'legend-right' : 'legend-bottom');
  const plot = document.createElement('div');
  plot.className = 'plot';
  body.append(plot);
  const summary = `${names.length} bars: ${names.slice(0, 5).map((name, row) => `${name} ${formatValue(series[0].field.values[row], series[0].config.unit, series[0].config.decimals)}`).join(', ')}${names.length > 5 ? ' and more' : ''}.`;
  const { chart, canvas, dispose } = makeChart(plot, `${panel.title}. ${summary}`);
  const longest = Math.max(90, Math.round(canvas.clientWidth * 0.36));
  const categoryAxis = { type: 'category', data: names, inverse: isLying, ...axisStyle(colors), splitLine: { show: false },
    axisLabel: { ...axisStyle(colors).axisLabel, width: isLying ? longest : undefined, overflow: 'truncate',
      rotate: !isLying && names.length * Math.max(...names.map((name) => name.length)) * 6.5 > canvas.clientWidth ? 35 : 0 } };
  const valueAxis = { type: 'value', ...axisStyle(colors), min: series[0].config.min ?? undefined, max: stacking === 'percent' ? 1 : series[0].config.max ?? undefined,
    splitNumber: Math.max(2, Math.round((isLying ? canvas.clientWidth / 110 : canvas.clientHeight / 45))), axisLabel: { ...axisStyle(colors).axisLabel, formatter: (value) => formatTick(value, unit, 0) } };
  const showValue = options.showValue === 'always' || (options.showValue === 'auto' && isLying && byRow);
  const option = () => ({
    animation: false,
    grid: { left: 4, right: showValue && isLying ? 64 : 12, top: 12, bottom: 2, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    tooltip: { ...tooltipStyle(colors), trigger: 'axis', axisPointer: { type: 'shadow', shadowStyle: { color: colors.line, opacity: 0.5 } }, formatter: (hits) => {
      const row = hits[0].dataIndex;
      return tip(names[row], items.map((item, i) => ({ color: barColor(i, row), name: item.name, text: formatValue(item.values[row], item.config.unit, item.config.decimals)
        + (stacking === 'percent' && totals[row] ? ` (${formatValue((item.values[row] ?? 0) / totals[row], 'percentunit', 1)})` : '') })).filter((_, i) => items[i].values[row] !== null && !board.hidden.has(items[i].name)));
    } },
    xAxis: isLying ? valueAxis : categoryAxis, yAxis: isLying ? categoryAxis : valueAxis,
    series: series.map((one, i) => ({ type: 'bar', name: items[i].name, stack: stacking === 'none' ? undefined : 'A', barMaxWidth: 46, barCategoryGap: '24%', emphasis: { disabled: true },
      label: { show: showValue && stacking === 'none', position: isLying ? 'right' : 'top', color: colors.strong, fontSize: colors.size, fontFamily: colors.font, formatter: (p) => formatValue(one.field.values[p.dataIndex], one.config.unit, one.config.decimals) },
      data: board.hidden.has(items[i].name) ? [] : one.field.values.map((value, row) => ({ value: stacking === 'percent' ? (totals[row] ? (value ?? 0) / totals[row] : 0) : value,
        itemStyle: { color: barColor(i, row), opacity: (one.config.custom.fillOpacity ?? 80) / 100, borderRadius: stacking === 'none' ? (isLying ? [0, 3, 3, 0] : [3, 3, 0, 0]) : 0 } })) })),
  });
  chart.setOption(option());
  chart.on('click', (hit) => board.follow(series[hit.seriesIndex].config.links, { labels: { [category.name]: category.values[hit.dataIndex] }, value: hit.value, seriesName: items[hit.seriesIndex].name,
    cells: Object.fromEntries(frame.fields.map((field) => [field.name, field.values[hit.dataIndex]])) }));
  if (!byRow && options.legend?.showLegend !== false) {
    const holder = document.createElement('div');
    holder.className = 'legend-holder';
    const fill = () => holder.replaceChildren(legend(options.legend, items, board.hidden, () => { fill(); chart.setOption(option(), { replaceMerge: ['series'] }); }));
    fill();
    body.append(holder);
  }
  return { summary, dispose };
}
