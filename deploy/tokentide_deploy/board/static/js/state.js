// What the page shows, kept in the address as Grafana does (from, to, timezone, var-*, viewPanel), so that it can be shared. Pure.

export const ALL = '$__all';

/** The state of an address; what it does not say comes from the dashboard. `search`: the part from the question mark. */
export function stateFrom(search, model, browserZone) {
  const query = new URLSearchParams(search);
  const variables = {};
  for (const variable of model?.templating?.list ?? []) {
    const given = query.getAll(`var-${variable.name}`).filter((value) => value !== '');
    variables[variable.name] = given.length ? given.map((value) => (value === 'All' && variable.includeAll ? ALL : value)) : defaultOf(variable);
  }
  const zone = query.get('timezone') ?? 'browser';
  const refresh = query.get('refresh') ?? model?.refresh;
  return {
    from: query.get('from') ?? model?.time?.from ?? 'now-1h', to: query.get('to') ?? model?.time?.to ?? 'now',
    zone: zone === 'browser' ? browserZone : zone === 'utc' ? 'UTC' : zone, zoneChoice: zone,
    refresh: typeof refresh === 'string' && refresh ? refresh : 'off', variables,
    enlarged: query.has('viewPanel') ? Number(query.get('viewPanel')) : null,
  };
}

export function defaultOf(variable) {
  if (variable.type === 'textbox' || variable.type === 'constant') return [String(variable.query ?? '')];
  const value = variable.current?.value;
  if (value === undefined || value === null || value.length === 0) return variable.includeAll ? [ALL] : [];
  return (Array.isArray(value) ? value : [value]).map(String);
}

/** The address of a state: only what differs from the dashboard's own choices. */
export function searchOf(state, model) {
  const query = new URLSearchParams();
  if (state.from !== (model?.time?.from ?? 'now-1h') || state.to !== (model?.time?.to ?? 'now')) { query.set('from', state.from); query.set('to', state.to); }
  if (state.zoneChoice !== 'browser') query.set('timezone', state.zoneChoice === 'UTC' ? 'utc' : state.zoneChoice);
  if (state.refresh !== (model?.refresh || 'off')) query.set('refresh', state.refresh);
  for (const variable of model?.templating?.list ?? []) {
    const values = state.variables[variable.name] ?? [];
    if (JSON.stringify(values) !== JSON.stringify(defaultOf(variable))) for (const value of values) query.append(`var-${variable.name}`, value);
  }
  if (state.enlarged !== null) query.set('viewPanel', state.enlarged);
  const text = query.toString();
  return text ? `?${text}` : '';
}

export const REFRESH_CHOICES = [['off', 'Off'], ['5s', '5 s'], ['10s', '10 s'], ['30s', '30 s'], ['1m', '1 min'], ['5m', '5 min'], ['15m', '15 min'], ['1h', '1 h']];

/** Milliseconds between two refreshes; 0 for none. */
export function refreshMs(text) {
  const found = /^(\d+)([smh])$/.exec(text);
  return found ? Number(found[1]) * { s: 1000, m: 60_000, h: 3_600_000 }[found[2]] : 0;
}
