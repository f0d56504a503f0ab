// Two categories (or time and a category) and a number: cells whose colour is the number.
import { axisStyle, ink, makeChart, tip, tooltipStyle } from '../chart.js';
import { continuousColor } from '../colors.js';
import { configOf } from '../fields.js';
import { timeColumnFormat } from '../time.js';
import { formatValue } from '../units.js';

export function draw(panel, frames, body, board) {
  const frame = frames[0];
  const number = frame?.fields.find((field) => field.kind === 'number');
  const [x, y] = frame?.fields.filter((field) => field.kind === 'time' || field.kind === 'string') ?? [];
  if (!number || !x || !y || !number.values.length) return null;
  const text = x.kind === 'time' ? timeColumnFormat(x.values, frame.timezone) : String;
  const columns = [...new Set(x.values)], rows = [...new Set(y.values)];
  const atColumn = new Map(columns.map((value, i) => [value, i])), atRow = new Map(rows.map((value, i) => [value, i]));
  const config = configOf(panel, number, frame);
  const known = number.values.filter((value) => value !== null);
  const colors = ink(body);
  const scheme = 'continuous-blues';
  const summary = `${rows.length} rows by ${columns.length} columns; values from ${formatValue(Math.min(...known), config.unit)} to ${formatValue(Math.max(...known), config.unit)}.`;
  const { chart, dispose } = makeChart(body, `${panel.title}. ${summary}`);
  const name = (value, i) => (i % Math.ceil(columns.length / 12) ? '' : text(value));
  chart.setOption({
    animation: false, grid: { left: 4, right: 8, top: 8, bottom: 2, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    tooltip: { ...tooltipStyle(colors), trigger: 'item', formatter: (hit) => tip(`${text(columns[hit.value[0]])} · ${rows[hit.value[1]]}`, [{ color: hit.color, name: number.name, text: formatValue(hit.value[2], config.unit, config.decimals) }]) },
    xAxis: { type: 'category', data: columns.map(name), ...axisStyle(colors), splitLine: { show: false } }, yAxis: { type: 'category', data: rows.map(String), ...axisStyle(colors), splitLine: { show: false } },
    visualMap: { show: false, min: config.min ?? Math.min(0, ...known), max: config.max ?? Math.max(...known), inRange: { color: [0, 0.5, 1].map((part) => continuousColor(scheme, part, board.theme)) } },
    series: [{ type: 'heatmap', data: number.values.map((value, i) => [atColumn.get(x.values[i]), atRow.get(y.values[i]), value]).filter((cell) => cell[2] !== null), itemStyle: { borderColor: colors.panel, borderWidth: 1 } }],
  });
  return { summary, dispose };
}
