// The console: polls the overview every few seconds and shows it; a hidden page does not poll.

import * as api from "./api.js";
import * as board from "./board.js";
import * as cases from "./cases.js";
import { byId, fill, span } from "./dom.js";

const POLL_MS = 5000;
const DATA = "#readiness, #age, #alerts, #announcement, section > div";

const UNKNOWN = "This token is not valid: it was mistyped, or has been replaced.";
const NOT_OPS = "This token is valid, but not of the role ops.";

let updatedAt = null; // instant of the last response, by the browser's clock
let overviewTime = null; // of the gateway, in that response
let problem = null; // why there is no newer one
let timer = null;
let polls = 0; // the response of an older poll is ignored

async function poll() {
  clearTimeout(timer);
  const own = ++polls;
  let overview, parked, held, failure;
  try {
    overview = await api.overview();
    parked = await cases.loadParked(overview);
    held = await cases.loadHeld(overview);
  } catch (error) {
    failure = error;
  }
  if (own !== polls || (failure && tokenRejected(failure))) return;
  timer = document.hidden ? null : setTimeout(poll, POLL_MS);
  problem = failure ?? null;
  byId("board").hidden = false;
  if (problem) {
    showProblem();
  } else {
    updatedAt = Date.now();
    overviewTime = overview.now.slice(11, 19);
    board.show(overview);
    cases.showParked(parked, overview);
    cases.showHeld(held, overview);
  }
  tick();
}

/** Whether the gateway rejected the token; then the form for it is shown. */
function tokenRejected(error) {
  if (!(error instanceof api.ErrorResponse) || ![401, 403].includes(error.status)) return false;
  logout(error.status === 401 ? UNKNOWN : NOT_OPS);
  return true;
}

/** Shows the age of the data, and why there are no newer ones. */
function tick() {
  if (!api.token.get()) return;
  byId("age").textContent = updatedAt === null ? "loading…" : `${span((Date.now() - updatedAt) / 1000)} old`;
  byId("board").classList.toggle("stale", problem !== null);
  byId("problem").hidden = problem === null;
}

function showProblem() {
  const hasResponse = problem instanceof api.ErrorResponse;
  fill(byId("readiness"), board.badge("critical", hasResponse ? "not ready" : "no response"));
  const what = hasResponse ? problem.message : "The gateway does not respond.";
  byId("problem").textContent = overviewTime === null ? what : `${what} The data shown are of ${overviewTime}.`;
  document.title = "(!) Gateway";
}

function login() {
  byId("login").hidden = true;
  byId("search").hidden = byId("logout").hidden = false;
  updatedAt = overviewTime = problem = null;
  tick();
  poll();
  cases.showRequested();
}

function logout(reason) {
  api.token.forget();
  board.forget();
  clearTimeout(timer);
  polls++;
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const shown of document.querySelectorAll(DATA)) shown.replaceChildren();
  byId("board").hidden = byId("search").hidden = byId("logout").hidden = true;
  byId("login").hidden = false;
  byId("login-reason").hidden = !reason;
  byId("login-reason").textContent = reason ?? "";
  document.title = "Gateway";
  byId("token").value = "";
  byId("token").focus();
}

cases.begin(poll, tokenRejected);
board.begin(cases.askBindNow);
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  api.token.keep(byId("token").value.trim());
  byId("token").value = "";
  login();
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = `#case=${byId("search-id").value.trim().toUpperCase()}`;
  if (location.hash === wanted) cases.showRequested();
  else location.hash = wanted;
});
byId("logout").addEventListener("click", () => logout());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (api.token.get()) poll();
});
setInterval(tick, 1000);

window.addEventListener("hashchange", () => api.takeToken() && login());
api.takeToken();
if (api.token.get()) login();
else logout();
