// Shares of one whole as a ring.
import { ink, makeChart, tip, tooltipStyle } from '../chart.js';
import { seriesColors, themeColor } from '../colors.js';
import { display, reducedValues } from '../fields.js';
import { legend } from '../legend.js';
import { formatValue } from '../units.js';

export function draw(panel, frames, body, board) {
  const values = reducedValues(panel, frames).filter((one) => typeof one.value === 'number' && one.value > 0);
  if (!values.length) return null;
  const options = panel.options ?? {};
  const total = values.reduce((sum, one) => sum + one.value, 0);
  const colors = ink(body);
  const byName = seriesColors(values.map((one) => one.name));
  const items = values.map((one) => ({ name: one.name, values: [one.value], config: one.config,
    color: one.config.color?.mode === 'fixed' ? themeColor(one.config.color.fixedColor, board.theme) : byName.get(one.name),
    href: board.linkFor(one.config.links?.[0], { labels: one.labels, seriesName: one.name, value: one.value }) }));
  body.classList.add(options.legend?.placement === 'right' ? 'legend-right' : 'legend-bottom');
  const plot = document.createElement('div');
  plot.className = 'plot';
  body.append(plot);
  const summary = values.slice(0, 6).map((one) => `${one.name} ${formatValue(one.value / total, 'percentunit', 1)}`).join(', ');
  const { chart, dispose } = makeChart(plot, `${panel.title}. ${summary}`);
  const option = () => ({
    animation: false,
    tooltip: { ...tooltipStyle(colors), trigger: 'item', formatter: (hit) => tip(hit.name, [{ color: hit.color, name: display(hit.value, values[0].config).text, text: formatValue(hit.value / total, 'percentunit', 1) }]) },
    series: [{ type: 'pie', radius: options.pieType === 'pie' ? '86%' : ['56%', '86%'], label: { show: false }, emphasis: { scale: false }, itemStyle: { borderColor: colors.panel, borderWidth: 2 },
      data: items.filter((item) => !board.hidden.has(item.name)).map((item) => ({ name: item.name, value: item.values[0], itemStyle: { color: item.color } })) }],
  });
  chart.setOption(option());
  chart.on('click', (hit) => { const one = values.find((value) => value.name === hit.name); board.follow(one?.config.links, { labels: one?.labels, seriesName: hit.name, value: hit.value }); });
  if (options.legend?.showLegend !== false) {
    const holder = document.createElement('div');
    holder.className = 'legend-holder';
    const fill = () => holder.replaceChildren(legend({ ...options.legend, calcs: ['lastNotNull'] }, items, board.hidden, () => { fill(); chart.setOption(option(), { replaceMerge: ['series'] }); }));
    fill();
    body.append(holder);
  }
  return { summary, dispose };
}
