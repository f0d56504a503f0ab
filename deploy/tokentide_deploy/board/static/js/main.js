// The page: state in the address, controls, panels that load when they come into view, live refresh, navigation.
import { fetchAnnotations, fetchBoard } from './api.js';
import { listMarks, marksOf } from './marks.js';
import { dashboardPicker, helpControl, rangeControl, refreshControl, variableControl } from './controls.js';
import { h, icon } from './dom.js';
import { Panel } from './panel.js';
import { refreshMs, searchOf, stateFrom } from './state.js';
import { parseTime } from './time.js';

const boot = JSON.parse(document.getElementById('boot').textContent);
const browserZone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
const root = document.documentElement;

const board = {
  model: boot.board, uid: boot.board?.uid, state: null, panels: [], annotations: [], nowMs: Date.now(),
  get zone() { return this.state.zone; },
  get theme() { return root.dataset.theme; },
  /** The range in milliseconds, at the moment of the last refresh: all panels show the same one. */
  range() {
    const from = parseTime(this.state.from, this.zone, this.nowMs) ?? this.nowMs - 3_600_000;
    const to = parseTime(this.state.to, this.zone, this.nowMs, true) ?? this.nowMs;
    return from < to ? [from, to] : [to - 60_000, to];
  },
  view(points) {
    const [from, to] = this.range();
    return { from_ms: from, to_ms: to, points, timezone: this.zone, variables: this.state.variables };
  },
  linkContext() { return { from: this.state.from, to: this.state.to, variables: this.state.variables }; },
  setRange(from, to) { change({ from, to }); },
  setZone(choice) { change({ zoneChoice: choice, zone: choice === 'browser' ? browserZone : choice }); },
  setVariable(name, values) { change({ variables: { ...this.state.variables, [name]: values } }); },
  setRefresh(refresh) { change({ refresh }, false); },
  enlarge(id) { change({ enlarged: this.state.enlarged === id ? null : id }, true); },
  refresh,
  go: (address) => navigate(address),
};

function address() { return `/d/${board.uid}${searchOf(board.state, board.model)}`; }

function change(changes, reload = true) {
  board.state = { ...board.state, ...changes };
  history.pushState(null, '', address());
  drawControls();
  if ('enlarged' in changes) layOut();
  if (reload) refresh();
  schedule();
}

async function navigate(to, keepRange = false) {
  const url = new URL(to, location.href);
  if (url.origin !== location.origin) { location.assign(url); return; }
  if (keepRange && board.state) for (const name of ['from', 'to', 'timezone']) {
    const value = { from: board.state.from, to: board.state.to, timezone: board.state.zoneChoice }[name];
    const isOwn = name === 'timezone' ? value === 'browser' : board.state[name] === (board.model?.time?.[name]);
    if (!isOwn && !url.searchParams.has(name)) url.searchParams.set(name, value);
  }
  history.pushState(null, '', url.pathname + url.search);
  await show();
}

/** Show what the address says. */
async function show() {
  const uid = decodeURIComponent(/^\/d\/([^/]+)/.exec(location.pathname)?.[1] ?? '') || boot.boards[0]?.uid;
  if (uid !== board.uid || !board.model) {
    try {
      board.model = await fetchBoard(uid);
      board.uid = uid;
    } catch (error) {
      problem(error.message);
      return;
    }
    boot.problem = '';
  }
  for (const panel of board.panels) panel.clear();
  board.state = stateFrom(location.search, board.model, browserZone);
  board.nowMs = Date.now();
  build();
}

function problem(text) {
  board.model = null;
  board.state = stateFrom('', null, browserZone);
  for (const panel of board.panels) panel.clear();
  board.panels = [];
  document.title = 'tokentide';
  drawControls();
  document.getElementById('panels').replaceChildren(h('div', { class: 'problem-page', role: 'alert' }, h('h2', {}, 'Not here'), h('p', {}, text),
    h('ul', {}, boot.boards.map((one) => h('li', {}, h('a', { href: `/d/${one.uid}` }, one.title))))));
}

let observer = null;

function build() {
  document.title = `${board.model.title} · tokentide`;
  drawControls();
  const holder = document.getElementById('panels');
  observer?.disconnect();
  observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const panel = board.panels.find((one) => one.element === entry.target);
      if (!panel) continue;
      panel.isVisible = entry.isIntersecting;
      if (panel.isVisible && panel.isStale) load(panel);
    }
  }, { rootMargin: '300px' });
  const models = (board.model.panels ?? []).flatMap((panel) => (panel.type === 'row' ? [panel, ...(panel.panels ?? [])] : [panel]));
  const ordered = models.map((model, i) => [model, i]).sort(([a, i], [b, j]) => (a.gridPos?.y ?? 0) - (b.gridPos?.y ?? 0) || (a.gridPos?.x ?? 0) - (b.gridPos?.x ?? 0) || i - j).map(([model]) => model);
  board.panels = ordered.filter((model) => model.type !== 'row').map((model) => new Panel(model, board));
  const elements = new Map(board.panels.map((panel) => [panel.model, panel.element]));
  holder.replaceChildren(...ordered.map((model) => elements.get(model) ?? rowHeading(model)));
  layOut();
  for (const panel of board.panels) observer.observe(panel.element);
  loadAnnotations();
  schedule();
}

function rowHeading(model) {
  const element = h('h2', { class: 'row-heading' }, model.title);
  element.style.setProperty('--y', (model.gridPos?.y ?? 0) + 1);
  return element;
}

function layOut() {
  const { enlarged } = board.state;
  const holder = document.getElementById('panels');
  holder.classList.toggle('enlarged', enlarged !== null);
  for (const panel of board.panels) {
    const isIt = panel.model.id === enlarged;
    panel.element.classList.toggle('is-enlarged', isIt);
    if (isIt) { panel.isStale = true; panel.element.focus({ preventScroll: true }); }
  }
}

// A few at a time: the browser would queue them anyway, and the first ones are those on the screen.
let running = 0;
const waiting = [];
function load(panel) {
  panel.isStale = false;
  if (!waiting.includes(panel)) waiting.push(panel);
  pump();
}
async function pump() {
  while (running < 4 && waiting.length) {
    const panel = waiting.shift();
    running += 1;
    panel.load().finally(() => {
      running -= 1;
      pump();
      if (!running && !waiting.length) { document.body.dataset.ready = String(Number(document.body.dataset.ready ?? 0) + 1); stamp(); }
    });
  }
}

function refresh() {
  board.nowMs = Date.now();
  for (const panel of board.panels) {
    panel.isStale = true;
    if (panel.isVisible) load(panel);
  }
  loadAnnotations();
}

async function loadAnnotations() {
  const queries = board.model?.annotations?.list ?? [];
  if (!queries.some((one) => one.enable !== false)) { board.annotations = []; showMarks(); return; }
  const { uid } = board;
  try {
    const { events, problems } = await fetchAnnotations(uid, board.view(800));
    if (board.uid !== uid) return;
    const before = JSON.stringify(board.annotations);
    board.annotations = marksOf(events, queries);
    showMarks();
    notice(problems.join('\n'));
    if (JSON.stringify(board.annotations) !== before) for (const panel of board.panels) if (panel.model.type === 'timeseries' && panel.drawing) panel.draw();
  } catch (error) { notice(error.message); }
}

function showMarks() { listMarks(document.getElementById('marks'), board.annotations, board.zone, board.theme); }

function notice(text) { document.getElementById('notice').textContent = text; }

function stamp() {
  document.getElementById('stamp').textContent = `Updated ${new Date().toLocaleTimeString('en-GB', { timeZone: board.zone })}`;
}

let timer = 0;
function schedule() {
  clearTimeout(timer);
  const wait = refreshMs(board.state?.refresh ?? 'off');
  if (!wait) return;
  timer = setTimeout(() => {
    // A page that nobody sees, a reader who drags or reads a dialog: not now.
    if (!document.hidden && !running && !document.querySelector('dialog[open]')) refresh();
    schedule();
  }, wait);
}
document.addEventListener('visibilitychange', () => { if (!document.hidden && board.state?.refresh !== 'off' && board.model) refresh(); });

function setTheme(theme) {
  root.dataset.theme = theme;
  localStorage.setItem('tokentide-theme', theme);
  for (const panel of board.panels) if (panel.drawing) panel.draw();
}

function drawControls() {
  const current = boot.boards.find((one) => one.uid === board.uid);
  const active = document.activeElement?.dataset?.variable;
  document.getElementById('where').replaceChildren(dashboardPicker(boot.boards, board.model ? current : null, navigate));
  const bar = document.getElementById('controls');
  if (!board.model) { bar.replaceChildren(); return; }
  const variables = (board.model.templating?.list ?? []).filter((variable) => variable.hide !== 2 && variable.type !== 'constant');
  bar.replaceChildren(h('div', { class: 'variables' }, variables.map((variable) => variableControl(variable, board)),
    (board.model.links ?? []).filter((link) => link.url).map((link) => h('a', { class: 'board-link', href: link.url }, link.title))),
  h('div', { class: 'times' }, rangeControl(board), refreshControl(board),
    h('button', { type: 'button', class: 'icon-button', id: 'theme', 'aria-label': 'Light or dark', title: 'Light or dark  l', onclick: () => setTheme(board.theme === 'dark' ? 'light' : 'dark') }, icon('sun')), helpControl()));
  if (active) bar.querySelector(`[data-variable="${CSS.escape(active)}"]`)?.focus();
}

document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href^="/d/"]');
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  navigate(link.getAttribute('href'));
});
document.addEventListener('keydown', (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey || event.target.closest('input, select, textarea, dialog')) return;
  const act = { r: () => refresh(), '[': () => board.move?.('back'), ']': () => board.move?.('forward'), '-': () => board.move?.('out'),
    d: () => document.querySelector('.board-button')?.click(), t: () => document.querySelector('.range-button')?.click(), l: () => document.getElementById('theme')?.click(),
    Escape: () => board.state?.enlarged !== null && board.state && board.enlarge(board.state.enlarged) }[event.key];
  if (act) { event.preventDefault(); act(); }
});
let resized = 0;
let drawnWidth = window.innerWidth;
window.addEventListener('resize', () => {
  clearTimeout(resized);
  // Charts follow by themselves; where the legend goes depends on the width, too.
  resized = setTimeout(async () => {
    if (window.innerWidth === drawnWidth) return;
    drawnWidth = window.innerWidth;
    for (const panel of board.panels) if (panel.drawing) await panel.draw();
    document.body.dataset.drawnWidth = String(drawnWidth);
  }, 150);
});
window.addEventListener('popstate', show);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (event) => { if (!localStorage.getItem('tokentide-theme')) { root.dataset.theme = event.matches ? 'dark' : 'light'; for (const panel of board.panels) if (panel.drawing) panel.draw(); } });

if (boot.board) {
  board.state = stateFrom(location.search, board.model, browserZone);
  build();
} else problem(boot.problem);
