// One panel: its frame, loading, errors, the drawing, and a dialog with its definition and data.
import { ApiError, fetchPanel } from './api.js';
import { h, icon } from './dom.js';
import { configOf, display, transformed } from './fields.js';
import { linkAddress, linkTitle } from './links.js';
import { formatTime } from './time.js';
import * as bargauge from './panels/bargauge.js';
import * as stat from './panels/stat.js';
import * as table from './panels/table.js';
import * as text from './panels/text.js';

// Kinds that need the chart library are fetched with it, after the first paint.
const KINDS = {
  stat: () => stat, table: () => table, text: () => text, bargauge: () => bargauge, gauge: () => bargauge,
  timeseries: () => import('./panels/timeseries.js'), barchart: () => import('./panels/barchart.js'), piechart: () => import('./panels/piechart.js'),
  xychart: () => import('./panels/xychart.js'), heatmap: () => import('./panels/heatmap.js'),
};

export class Panel {
  /** `board`: the page's state and navigation (main.js). */
  constructor(model, board) {
    this.model = model;
    this.board = board;
    this.hidden = new Set();
    this.sort = null;
    this.frames = [];
    this.isStale = true;
    this.isVisible = false;
    this.drawing = null;
    this.request = null;
    const id = `panel-${model.id}`;
    this.body = h('div', { class: 'panel-body' });
    this.state = h('div', { class: 'panel-state', role: 'status' });
    this.tag = h('span', { class: 'panel-tag', hidden: true });
    const about = model.description ? h('button', { type: 'button', class: 'icon-button about', 'aria-label': `What ${model.title} means`, 'aria-describedby': `${id}-about` }, icon('info')) : null;
    this.element = h('section', { class: `panel kind-${model.type}`, id, 'aria-labelledby': `${id}-title`, tabindex: '-1' },
      h('header', { class: 'panel-head' }, h('h2', { id: `${id}-title` }, model.title || ''), about,
        about ? h('div', { class: 'about-text', role: 'tooltip', id: `${id}-about` }, model.description) : null, this.tag,
        model.type === 'text' ? null : h('span', { class: 'panel-tools' },
          h('button', { type: 'button', class: 'icon-button', 'aria-label': `Data of ${model.title} as a table`, title: 'Data and definition', onclick: () => this.inspect() }, icon('table')),
          h('button', { type: 'button', class: 'icon-button', 'aria-label': `${model.title} on the whole screen`, title: 'Enlarge', onclick: () => board.enlarge(model.id) }, icon('expand')))),
      this.body, this.state);
    if (about) about.addEventListener('click', () => about.classList.toggle('open'));
    const place = model.gridPos ?? { x: 0, y: 0, w: 24, h: 8 };
    if (place.x + place.w / 2 > 12) this.element.classList.add('flip');
    for (const [name, value] of Object.entries({ x: place.x + 1, y: place.y + 1, w: place.w, h: place.h })) this.element.style.setProperty(`--${name}`, value);
  }

  /** Ask for the data again. What is drawn stays until the answer is here. */
  async load() {
    if (this.model.type === 'text') { this.isStale = false; await this.draw(); this.element.dataset.loaded = 'true'; return; }
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    this.isStale = false;
    this.element.classList.add('loading');
    try {
      const points = Math.max(50, Math.min(2000, Math.round(this.body.clientWidth || 600)));
      const answer = await fetchPanel(this.board.uid, this.model.id, this.board.view(points), request.signal);
      const failed = answer.frames.find((frame) => frame.error);
      this.frames = answer.frames;
      this.range = [answer.from_ms, answer.to_ms];
      if (failed) throw new ApiError(failed.error);
      await this.draw();
    } catch (error) {
      if (error.name === 'AbortError') return;
      this.fail(error);
    } finally {
      if (this.request === request) { this.element.classList.remove('loading'); this.element.dataset.loaded = 'true'; }
    }
  }

  fail(error) {
    this.clear();
    this.element.dataset.state = 'error';
    this.state.replaceChildren(h('strong', {}, 'This panel has no answer.'), h('p', {}, error.message),
      h('button', { type: 'button', onclick: () => this.load() }, 'Try again'));
  }

  async draw() {
    const kind = KINDS[this.model.type];
    if (!kind) { this.fail(new Error(`The board does not draw panels of the kind ${this.model.type}; Grafana does.`)); return; }
    const { draw } = await kind();
    const frames = transformed(this.model, this.frames);
    const scroll = this.body.scrollTop;
    this.clear();
    const shown = draw(this.model, frames, this.body, this.context());
    const notices = this.frames.map((frame) => frame.notice).filter(Boolean);
    const isOtherZone = this.frames.some((frame) => frame.timezone !== this.board.zone && frame.fields.some((field) => field.kind === 'time'));
    if (isOtherZone && this.board.zone !== 'UTC') notices.push('UTC');
    this.tag.hidden = !notices.length;
    this.tag.textContent = notices.join(' ');
    this.tag.title = isOtherZone ? 'The periods of this panel are those of UTC.' : '';
    if (!shown) {
      this.element.dataset.state = 'empty';
      const words = this.model.fieldConfig?.defaults?.noValue ?? '';
      this.state.replaceChildren(h('p', {}, words.length > 2 ? words : 'No data in this range'));
      return;
    }
    this.element.dataset.state = 'drawn';
    this.body.scrollTop = scroll;
    this.drawing = shown;
  }

  clear() {
    this.drawing?.dispose();
    this.drawing = null;
    this.body.className = 'panel-body';
    for (const name of ['tabindex', 'role', 'aria-label']) this.body.removeAttribute(name);
    this.body.replaceChildren();
    this.state.replaceChildren();
    delete this.element.dataset.state;
  }

  context() {
    const board = this.board;
    return {
      theme: board.theme, range: this.range, hidden: this.hidden, sort: this.sort, annotations: board.annotations,
      setSort: (order) => { this.sort = order; }, zoom: (from, to) => board.setRange(String(from), String(to)),
      linkFor: (link, context) => (link ? linkAddress(link, { ...board.linkContext(), ...context }) : null),
      follow: (links, context) => {
        const [link] = links ?? [];
        const to = link && linkAddress(link, { ...board.linkContext(), ...context });
        if (to) board.go(to);
      },
    };
  }

  /** A dialog: what the panel means, its data as a table, the query, and a file to keep. */
  inspect() {
    const frames = this.frames.filter((frame) => frame.fields?.length);
    const close = h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close', onclick: () => dialog.close() }, icon('close'));
    const first = this.frames[0] ?? {};
    const cost = first.rows === undefined ? '' : `${first.rows.toLocaleString('en')} rows; read ${first.read_rows.toLocaleString('en')} rows in ${first.elapsed_ms} ms. Times in ${first.timezone}.`;
    const dialog = h('dialog', { class: 'inspector', 'aria-label': `Data of ${this.model.title}` },
      h('header', {}, h('h2', {}, this.model.title), close), h('p', {}, this.model.description ?? ''),
      this.frames.filter((frame) => frame.error).map((frame) => h('p', { class: 'problem' }, frame.error)),
      h('div', { class: 'actions' }, h('span', {}, cost), frames.length ? h('button', { type: 'button', onclick: () => this.download(frames[0]) }, 'Download CSV') : null),
      h('div', { class: 'inspector-data', tabindex: '0', role: 'region', 'aria-label': 'Data' }, frames.map((frame) => this.dataTable(frame))),
      h('details', {}, h('summary', {}, 'Query'), h('pre', { tabindex: '0' }, this.frames.map((frame) => frame.sql).join('\n\n'))));
    dialog.addEventListener('close', () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  dataTable(frame) {
    const columns = frame.fields.map((field) => ({ field, config: configOf(this.model, field, frame) }));
    const rows = Math.min(frame.fields[0].values.length, 1000);
    const text = ({ field, config }, row) => (field.kind === 'time' ? formatTime(field.values[row], frame.timezone) : display(field.values[row], config).text);
    return h('table', { class: 'data' }, h('caption', { class: 'visually-hidden' }, this.model.title),
      h('thead', {}, h('tr', {}, columns.map(({ field }) => h('th', { scope: 'col', class: field.kind === 'number' ? 'number' : null }, field.name)))),
      h('tbody', {}, [...Array(rows).keys()].map((row) => h('tr', {}, columns.map((column) => h('td', { class: column.field.kind === 'number' ? 'number' : null }, text(column, row)))))));
  }

  download(frame) {
    // A leading = + - or @ would make a spreadsheet calculate what a model's name says.
    const safe = (value) => { const t = typeof value === 'string' && /^[=+\-@\t]/.test(value) ? `'${value}` : String(value ?? ''); return /[",\n]/.test(t) ? `"${t.replaceAll('"', '""')}"` : t; };
    const lines = [frame.fields.map((field) => safe(field.name)).join(',')];
    for (let row = 0; row < frame.fields[0].values.length; row += 1) {
      lines.push(frame.fields.map((field) => safe(field.kind === 'time' && field.values[row] !== null ? new Date(field.values[row]).toISOString() : field.values[row])).join(','));
    }
    const link = h('a', { href: URL.createObjectURL(new Blob([lines.join('\r\n')], { type: 'text/csv' })), download: `${this.model.title}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

export { linkTitle };
