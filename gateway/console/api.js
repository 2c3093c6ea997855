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
export const parked = (limit, after) => call("GET", "v1/cases", { query: { state: "parked", limit, after } });
export const held = (limit) => call("GET", "v1/cases", { query: { state: "held", limit } });
export const caseOf = (id) => call("GET", `v1/cases/${encodeURIComponent(id)}`);
export const cancel = (id, reason) =>
  call("POST", `v1/cases/${encodeURIComponent(id)}/cancel`, { body: { reason } });
export const release = (id) => call("POST", `v1/cases/${encodeURIComponent(id)}/release`);
export const resend = (id) => call("POST", `v1/cases/${encodeURIComponent(id)}/resend`);
export const acceptReply = (id) => call("POST", `v1/cases/${encodeURIComponent(id)}/accept-reply`);
export const bindNow = (link) => call("POST", `v1/links/${encodeURIComponent(link)}/bind`);
export const releaseMany = (ids) => call("POST", "v1/cases/release", { body: { case_ids: ids } });

/** The JSON of the response. Throws ErrorResponse, or what fetch throws without a response. */
async function call(method, path, { query = {}, body } = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) if (value != null) url.searchParams.set(name, value);
  const headers = { Authorization: `Bearer ${token.get()}` };
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(url, {
    method,
    headers,
    body: body && JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const content = await response.json();
  if (!response.ok) {
    const faults = (content.errors ?? []).map((fault) => `${fault.pointer} ${fault.detail}`);
    throw new ErrorResponse(response.status, [content.detail ?? content.title, ...faults].join(" "));
  }
  return content;
}
