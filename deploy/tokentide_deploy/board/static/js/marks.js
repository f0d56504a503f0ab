// Annotations: alerts and model launches, drawn in the charts and listed in words for those who do not see or point.
import { h } from './dom.js';
import { themeColor } from './colors.js';
import { formatTime, toWall } from './time.js';

const BY_SEVERITY = { critical: 'red', warning: 'orange', info: 'blue' };

/** The API's events with the name and colour of their query; an alert has the colour of its severity. */
export function marksOf(events, queries) {
  return events.map((event) => {
    const severity = Object.keys(BY_SEVERITY).find((name) => String(event.tags ?? '').includes(`"${name}"`));
    return { ...event, name: queries[event.source].name, color: BY_SEVERITY[severity] ?? queries[event.source].iconColor };
  });
}

/** Marks that a point in time belongs to: inside a region, or near a single instant. */
export function marksAt(marks, ms, nearMs) {
  return marks.filter((mark) => (mark.time_end ? mark.time - nearMs <= ms && ms <= mark.time_end + nearMs : Math.abs(mark.time - ms) <= nearMs));
}

const STRIP_PX = [3, 8];

/** What ECharts draws for them: a line where each begins; as long as it goes on, a strip above the plot and a hint of a
 *  shade in it, so faint that several over each other leave the chart's own colours readable. */
export function markSeries(marks, zone, theme) {
  const color = (mark) => themeColor(mark.color, theme);
  const regions = marks.filter((mark) => mark.time_end > mark.time);
  return { name: '', type: 'line', data: [],
    markLine: { silent: true, symbol: ['none', 'triangle'], symbolSize: 7, label: { show: false },
      data: marks.map((mark) => ({ xAxis: toWall(mark.time, zone), lineStyle: { color: color(mark), type: 'dashed', opacity: 0.8 } })) },
    markArea: { silent: true, data: regions.flatMap((mark) => {
      const [begin, end] = [{ xAxis: toWall(mark.time, zone) }, { xAxis: toWall(mark.time_end, zone) }];
      return [
        [{ ...begin, itemStyle: { color: color(mark), opacity: 0.035 } }, end],
        [{ ...begin, y: STRIP_PX[0], itemStyle: { color: color(mark), opacity: 0.75 } }, { ...end, y: STRIP_PX[1] }]];
    }) } };
}

/** A sentence for a chart's name: `Marked: alerts 2, model launches 1.` */
export function marksInWords(marks) {
  return marks.length ? `Marked: ${counted(marks)}.` : '';
}

function counted(marks) {
  const counts = new Map();
  for (const mark of marks) counts.set(mark.name, (counts.get(mark.name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${name.toLowerCase()} ${count}`).join(', ');
}

/** The list above the panels: closed, and read and opened with the keyboard. */
export function listMarks(holder, marks, zone, theme) {
  holder.hidden = !marks.length;
  if (!marks.length) { holder.replaceChildren(); return; }
  const newest = [...marks].sort((a, b) => b.time - a.time);
  const until = (mark) => (mark.time_end > mark.time ? ` to ${formatTime(mark.time_end, zone)}` : '');
  holder.replaceChildren(h('summary', {}, `Marked in the charts: ${counted(marks)}`), h('ul', {}, newest.map((mark) => h('li', {},
    h('i', { class: 'swatch', style: { background: themeColor(mark.color, theme) } }),
    h('span', { class: 'quiet' }, `${formatTime(mark.time, zone)}${until(mark)} `), h('strong', {}, mark.title || mark.name), mark.text ? ` ${mark.text}` : ''))));
}
