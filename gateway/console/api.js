// A client of the gateway's API with the token of ops, which is kept in this tab and sent in a header only.

const TOKEN = "gateway-token";
const TIMEOUT_MS = 15_000;

/** An error response: its status and its detail. */
export class ErrorResponse extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Keeps the token that the address has as `#token=…`, and takes it out of the address; whether there was one. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return false;
  history.replaceState(null, "", location.pathname + location.search);
  token.keep(given);
  return true;
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  keep: (value) => sessionStorage.setItem(TOKEN, value),
  forget: () => sessionStorage.removeItem(TOKEN),
};

export const overview = () => call("GET", "v1/overview");
export const figures = (list, span) => call("GET", "v1/figures", { query: { list_id: list || null, span } });
export const pastAlerts = (limit) => call("GET", "v1/alerts", { query: { limit } });
export const parked = (limit, after) => call("GET", "v1/cases", { query: { state: "parked", limit, after } });
export const held = (limit) => call("GET", "v1/cases", { query: { state: "held", limit } });
export const casesOf = (list, state, limit, after) =>
  call("GET", "v1/cases", { query: { list_id: list, state, limit, after } });
export const caseOfRecord = (list, record) => call("GET", "v1/cases", { query: { list_id: list, record_id: record } });
export const findCases = (about) => call("POST", "v1/cases/search", { body: about });
export const caseOf = (id) => call("GET", `v1/cases/${encodeURIComponent(id)}`);
export const messagesOf = (id) => call("GET", `v1/cases/${encodeURIComponent(id)}/messages`);
export const cancel = (id, reason) =>
  call("POST", `v1/cases/${encodeURIComponent(id)}/cancel`, { body: { reason } });
export const release = (id) => call("POST", `v1/cases/${encodeURIComponent(id)}/release`);
export const resend = (id) => call("POST", `v1/cases/${encodeURIComponent(id)}/resend`);
export const acceptReply = (id) => call("POST", `v1/cases/${encodeURIComponent(id)}/accept-reply`);
export const bindNow = (link) => call("POST", `v1/links/${encodeURIComponent(link)}/bind`);
export const releaseMany = (ids) => call("POST", "v1/cases/release", { body: { case_ids: ids } });

/** Whether this gateway has a path, by its own OpenAPI document. */
export async function has(path) {
  const { paths } = await call("GET", "openapi.json");
  return Object.hasOwn(paths, path);
}

/** The JSON of the response. Throws ErrorResponse, or what fetch throws without a response. */
async function call(method, path, { query = {}, body } = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) if (value != null) url.searchParams.set(name, value);
  const headers = body ? { "Content-Type": "application/json" } : {};
  const settings = { method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(TIMEOUT_MS) };
  const response = await request(url, headers, settings);
  return response.json();
}

async function request(url, headers, settings) {
  const response = await fetch(url, {
    ...settings,
    headers: { ...headers, Authorization: `Bearer ${token.get()}` },
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
  if (response.ok) return response;
  const content = await response.json();
  const faults = (content.errors ?? []).map((fault) => `${fault.pointer} ${fault.detail}`);
  throw new ErrorResponse(response.status, [content.detail ?? content.title, ...faults].join(" "));
}

/**
 * The overviews of the stream, until it ends. Throws as `call` does, and what an aborted fetch throws: `stalled` is
 * called with a function that ends the stream, and again after each event.
 */
export async function* overviews(stalled) {
  const ending = new AbortController();
  const watch = () => stalled(() => ending.abort());
  watch();
  const url = new URL("v1/overview/stream", document.baseURI);
  const response = await request(url, { Accept: "text/event-stream" }, { signal: ending.signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let text = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return;
      watch();
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) yield overviewOf(event);
    }
  } finally {
    ending.abort();
  }
}

/** The object of an event: the line of the field `data`. */
function overviewOf(event) {
  const line = event.split("\n").find((one) => one.startsWith("data"));
  return JSON.parse(line.slice(line.indexOf(" ")));
}
