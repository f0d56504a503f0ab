// Runs before the first paint, so that no page flashes in the other theme.
{
  const asked = new URLSearchParams(location.search).get('theme');
  const kept = asked ?? localStorage.getItem('tokentide-theme');
  const dark = kept ? kept === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
}
