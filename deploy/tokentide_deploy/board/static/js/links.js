// Data links: Grafana's address templates with the clicked value, the variables and the time range put in. Pure.

const queryParameter = (name, values) => values.map((value) => `var-${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');

/**
 * The address of `link`. `context`: { from, to, variables, labels, seriesName, fieldName, value, text, time, cells };
 * `cells`: column -> value of the clicked row. Null when the address is not one to follow.
 */
export function linkAddress(link, context) {
  const value = (path, format) => {
    if (path === '__url_time_range') return `from=${encodeURIComponent(context.from)}&to=${encodeURIComponent(context.to)}`;
    if (path === '__all_variables') return Object.entries(context.variables).map(([name, values]) => queryParameter(name, values)).join('&');
    if (path === '__from') return encodeURIComponent(context.from);
    if (path === '__to') return encodeURIComponent(context.to);
    if (path === '__series.name' || path === '__field.displayName') return encodeURIComponent(context.seriesName ?? '');
    if (path === '__field.name') return encodeURIComponent(context.fieldName ?? '');
    if (path === '__value.raw' || path === '__value.numeric') return encodeURIComponent(context.value ?? '');
    if (path === '__value.text') return encodeURIComponent(context.text ?? context.value ?? '');
    if (path === '__value.time') return encodeURIComponent(context.time ?? '');
    const label = /^__field\.labels(?:\.(\w+)|\["(.+)"\])$/.exec(path);
    if (label) return encodeURIComponent(context.labels?.[label[1] ?? label[2]] ?? '');
    const cell = /^__data\.fields(?:\["(.+?)"\]|\.([\w ]+?)|\[(\d+)\])(?:\.(?:text|numeric))?$/.exec(path);
    if (cell) return encodeURIComponent((cell[3] ? Object.values(context.cells ?? {})[cell[3]] : context.cells?.[cell[1] ?? cell[2]]) ?? '');
    if (path === 'datasource') return '';
    if (path in context.variables) {
      const values = context.variables[path];
      return format === 'queryparam' ? queryParameter(path, values) : values.map(encodeURIComponent).join(',');
    }
    return '';
  };
  const address = link.url.replace(/\$\{([^}:]+)(?::(\w+))?\}|\$(\w+)/g, (_, braced, format, bare) => value(braced ?? bare, format))
    .replace(/&{2,}/g, '&').replace(/\?&/, '?').replace(/[?&]$/, '');
  if (/^\/(?!\/)/.test(address) || /^https?:\/\//.test(address)) return address;
  return address.startsWith('d/') ? `/${address}` : null;
}

/** The title with the same values, not encoded. */
export function linkTitle(link, context) {
  const title = link.title || 'Open';
  return title.replace(/\$\{([^}]+)\}/g, (whole) => decodeURIComponent(linkAddress({ url: `/x?y=${whole}` }, context)?.slice(5) ?? ''));
}
