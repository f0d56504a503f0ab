// The board's JSON interface. The browser names panels, variables and times; SQL stays on the server.

export class ApiError extends Error {}

async function call(path, body, signal) {
  let response;
  try {
    response = await fetch(path, body === undefined ? { signal } : {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), signal,
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError('The board\'s server does not answer. Is tokentide still running?');
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(answer?.error ?? `The board's server answered ${response.status}.`);
  return answer;
}

const at = (uid) => `/api/boards/${encodeURIComponent(uid)}`;
export const fetchBoard = (uid) => call(at(uid));
export const fetchPanel = (uid, id, view, signal) => call(`${at(uid)}/panels/${id}`, view, signal);
export const fetchOptions = (uid, name, view, signal) => call(`${at(uid)}/variables/${encodeURIComponent(name)}`, view, signal);
export const fetchAnnotations = (uid, view, signal) => call(`${at(uid)}/annotations`, view, signal);
