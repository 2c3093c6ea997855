// The console: shows the overviews of the stream, or polls where it breaks; a hidden page does neither.

import * as acts from "./acts.js";
import * as api from "./api.js";
import * as board from "./board.js";
import * as campaign from "./campaign.js";
import { showCase } from "./case.js";
import * as cases from "./cases.js";
import { badge, byId, fill, h, span } from "./dom.js";
import { choose, language, LANGUAGES, t, translate } from "./language.js";
import * as search from "./search.js";

const POLL_MS = 5000;
const STALLED_MS = 15_000; // without an event the stream is broken
const STREAM_AGAIN_MS = 30_000; // for which the page polls before it opens another stream
const MORE_MS = 5000; // between two looks at parked cases and held replies
const HISTORY_MS = 15_000;
const MAX_ALERTS = 100;
const DATA = "#readiness, #age, #alerts, #announcement, section > div, #history";

let updatedAt = null; // when the gateway read the last overview, by the browser's clock
let last = null; // that overview
let streaming = false; // it came by the stream
let problem = null; // why there is no newer one
let runs = 0; // what an older run brings is ignored
let endStream = () => {};
let streamAt = 0; // when the next stream may be opened, by the browser's clock
let moreAt = 0; // when parked cases and held replies are loaded next
let historyAt = 0;
let wake = () => {}; // ends the pause between two polls

/** Follows the gateway until another run begins, or nobody looks any more. */
async function follow() {
  const own = ++runs;
  endStream();
  wake();
  const current = () => own === runs && !document.hidden && api.token.get() !== null;
  while (current()) {
    if (Date.now() >= streamAt) await stream(current);
    if (!current()) return;
    await poll(current);
    await pause();
  }
}

/** Shows what the stream brings, until it breaks or ends. */
async function stream(current) {
  let stalled;
  const watch = (end) => {
    endStream = end;
    clearTimeout(stalled);
    stalled = setTimeout(end, STALLED_MS);
  };
  try {
    for await (const overview of api.overviews(watch)) {
      if (!current()) break;
      streaming = true;
      await show(overview, current);
    }
  } catch (error) {
    if (current()) {
      streamAt = Date.now() + STREAM_AGAIN_MS;
      tokenRejected(error);
    }
  } finally {
    clearTimeout(stalled);
    streaming = false;
  }
}

async function poll(current) {
  try {
    await show(await api.overview(), current);
  } catch (error) {
    if (current() && !tokenRejected(error)) showProblem(error);
  }
}

const pause = () =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, POLL_MS);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });

async function show(overview, current) {
  const away = overview.read_at !== overview.now; // the database does not respond: there is nothing else to load
  let more = null;
  if (!away && (Date.now() >= moreAt || last?.cases.parked !== overview.cases.parked)) {
    more = { parked: await cases.loadParked(overview), held: await cases.loadHeld(overview) };
    moreAt = Date.now() + MORE_MS;
  }
  if (!current()) return;
  const readAt = Date.now() - (Date.parse(overview.now) - Date.parse(overview.read_at));
  [updatedAt, last, problem] = [readAt, overview, null];
  byId("board").hidden = false;
  board.show(overview);
  if (more) {
    cases.showParked(more.parked, overview);
    cases.showHeld(more.held, overview);
  }
  tick();
  if (away) return;
  await campaign.update(overview);
  if (Date.now() >= historyAt) {
    historyAt = Date.now() + HISTORY_MS;
    board.showHistory(await api.pastAlerts(MAX_ALERTS), overview.now);
  }
}

/** Whether the gateway rejected the token; then the form for it is shown. */
function tokenRejected(error) {
  if (!(error instanceof api.ErrorResponse) || ![401, 403].includes(error.status)) return false;
  logout(t(error.status === 401 ? "token_unknown" : "token_not_ops"));
  return true;
}

/** Shows the age of the data, and whether there is a reason for it. */
function tick() {
  if (!api.token.get()) return;
  const age = updatedAt === null ? t("loading") : t("age", { span: span((Date.now() - updatedAt) / 1000) });
  byId("age").textContent = updatedAt === null ? age : `${t(streaming ? "live" : "polled")} · ${age}`;
  byId("board").classList.toggle("stale", problem !== null || last?.read_at !== last?.now);
  byId("problem").hidden = problem === null;
}

function showProblem(error) {
  problem = error;
  byId("board").hidden = false;
  const hasResponse = problem instanceof api.ErrorResponse;
  fill(byId("readiness"), badge("critical", t(hasResponse ? "not_ready" : "no_response")));
  const what = hasResponse ? problem.message : t("no_answer_yet");
  const at = last?.now.slice(11, 19);
  byId("problem").textContent = last === null ? what : `${what} ${t("data_of", { at })}`;
  document.title = `(!) ${t("title")}`;
  tick();
}

function login() {
  byId("login").hidden = true;
  byId("search").hidden = byId("logout").hidden = false;
  updatedAt = last = problem = null;
  streamAt = moreAt = historyAt = 0;
  tick();
  follow();
  search.offer().catch(() => {}); // without it the search is by case and record
  cases.showRequested();
}

function logout(reason) {
  api.token.forget();
  board.forget();
  campaign.forget();
  runs++;
  endStream();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const shown of document.querySelectorAll(DATA)) shown.replaceChildren();
  byId("board").hidden = byId("search").hidden = byId("logout").hidden = true;
  byId("login").hidden = false;
  byId("login-reason").hidden = !reason;
  byId("login-reason").textContent = reason ?? "";
  document.title = t("title");
  byId("token").value = "";
  byId("token").focus();
}

/** Loads what an act has changed. */
function changed() {
  moreAt = 0;
  follow();
}

translate();
byId("language").append(...Object.entries(LANGUAGES).map(([code, name]) => h("option", { value: code, lang: code }, name)));
byId("language").value = language;
byId("language").addEventListener("change", ({ target }) => choose(target.value));
acts.begin(changed, tokenRejected, showCase);
board.begin(acts.askBindNow);
campaign.begin(() => last && campaign.update(last).catch(tokenRejected));
cases.begin();
search.begin();
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  api.token.keep(byId("token").value.trim());
  byId("token").value = "";
  login();
});
byId("logout").addEventListener("click", () => logout());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) endStream();
  else if (api.token.get()) follow();
});
setInterval(tick, 1000);

window.addEventListener("hashchange", () => api.takeToken() && login());
api.takeToken();
if (api.token.get()) login();
else logout();
