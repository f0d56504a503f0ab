// Points on two axes: one series for each pair of columns, or one for each frame's first two numbers.
import { axisStyle, ink, makeChart, tip, tooltipStyle } from '../chart.js';
import { seriesColors, themeColor } from '../colors.js';
import { configOf, display } from '../fields.js';
import { legend } from '../legend.js';
import { formatTick, formatValue } from '../units.js';

function pairs(panel, frames) {
  const found = [];
  const numbers = (frame) => frame.fields.filter((field) => field.kind === 'number');
  const named = (frame, matcher) => frame.fields.find((field) => field.name === matcher?.options);
  const rules = panel.options?.mapping === 'manual' ? panel.options.series ?? [] : [{}];
  for (const rule of rules) {
    const frame = frames[rule.frame?.matcher?.options ?? 0] ?? frames[0];
    const x = rule.x ? named(frame, rule.x.matcher) : numbers(frame)[0];
    const ys = rule.y ? [named(frame, rule.y.matcher)] : numbers(frame).filter((field) => field !== x);
    for (const y of ys) if (x && y) found.push({ frame, x, y, name: rule.name?.fixed ?? y.name });
  }
  return found;
}

export function draw(panel, frames, body, board) {
  const all = pairs(panel, frames).map((one) => ({ ...one, xConfig: configOf(panel, one.x, one.frame), yConfig: configOf(panel, one.y, one.frame) }));
  const isLog = (config) => config.custom.scaleDistribution?.type === 'log';
  const series = all.map((one) => ({ ...one, rows: one.x.values.map((x, row) => [x, one.y.values[row], row])
    .filter(([x, y]) => x !== null && y !== null && (!isLog(one.xConfig) || x > 0) && (!isLog(one.yConfig) || y > 0)) })).filter((one) => one.rows.length);
  if (!series.length) return null;
  const colors = ink(body);
  const byName = seriesColors(series.map((one) => one.name));
  const items = series.map((one) => ({ name: one.name, values: [], config: one.yConfig,
    color: one.yConfig.color?.mode === 'fixed' ? themeColor(one.yConfig.color.fixedColor, board.theme) : byName.get(one.name) }));
  body.classList.add('legend-bottom');
  const plot = document.createElement('div');
  plot.className = 'plot';
  body.append(plot);
  const count = series.reduce((sum, one) => sum + one.rows.length, 0);
  const summary = `${count} points: ${series[0].x.name} across, ${series.map((one) => one.name).join(', ')} up.`;
  const { chart, dispose } = makeChart(plot, `${panel.title}. ${summary}`);
  const rowOf = (one, row) => one.frame.fields.map((field) => ({ name: field.name, value: field.values[row], config: configOf(panel, field, one.frame), kind: field.kind }));
  const axis = (config, name, isX) => {
    // A power of ten fits an axis whose ends are not known before the drawing.
    const values = series.flatMap((one) => one.rows.map((row) => row[isX ? 0 : 1]));
    const log = isLog(config);
    return { type: log ? 'log' : 'value', logBase: config.custom.scaleDistribution?.log ?? 10, scale: true, name, nameLocation: isX ? 'middle' : 'end', nameGap: isX ? 22 : 8,
      min: log ? 10 ** Math.floor(Math.log10(Math.min(...values))) : undefined, max: log ? 10 ** Math.ceil(Math.log10(Math.max(...values))) : undefined,
      ...axisStyle(colors), nameTextStyle: { ...axisStyle(colors).nameTextStyle, align: isX ? 'center' : 'left' },
      axisLabel: { ...axisStyle(colors).axisLabel, formatter: (value) => formatTick(value, config.unit ?? 'short', 0) } };
  };
  const option = () => ({
    animation: false,
    grid: { left: 4, right: 16, top: 24, bottom: 22, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    tooltip: { ...tooltipStyle(colors), trigger: 'item', formatter: (hit) => {
      const one = series[hit.seriesIndex];
      const fields = rowOf(one, hit.value[2]).filter((field) => field.value !== null);
      const title = fields.find((field) => field.kind === 'string');
      return tip(title?.value ?? one.name, fields.filter((field) => field !== title).map((field) => ({ name: field.name, text: display(field.value, field.config).text })));
    } },
    xAxis: axis(series[0].xConfig, series[0].x.name, true),
    yAxis: axis(series[0].yConfig, series.length === 1 ? series[0].y.name : '', false),
    series: series.map((one, i) => ({ name: one.name, type: 'scatter', data: board.hidden.has(one.name) ? [] : one.rows, symbolSize: one.yConfig.custom.pointSize?.fixed ?? 8,
      itemStyle: { color: items[i].color, opacity: 0.75, borderColor: colors.panel, borderWidth: 1 } })),
  });
  chart.setOption(option());
  chart.on('click', (hit) => {
    const one = series[hit.seriesIndex];
    board.follow(one.yConfig.links, { cells: Object.fromEntries(rowOf(one, hit.value[2]).map((field) => [field.name, field.value])), value: hit.value[1], labels: {}, seriesName: one.name,
      text: formatValue(hit.value[1], one.yConfig.unit, one.yConfig.decimals) });
  });
  if (series.length > 1) {
    const holder = document.createElement('div');
    holder.className = 'legend-holder';
    const fill = () => holder.replaceChildren(legend({ calcs: [] }, items, board.hidden, () => { fill(); chart.setOption(option(), { replaceMerge: ['series'] }); }));
    fill();
    body.append(holder);
  }
  return { summary, dispose };
}
