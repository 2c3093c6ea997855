// The console: asks the gateway every few seconds and shows what it says. Nobody looking, nothing asked.

import * as api from "./api.js";
import * as board from "./board.js";
import * as cases from "./cases.js";
import { byId, fill, span } from "./dom.js";

const EVERY = 5000; // milliseconds
const SHOWN = "#readiness, #age, #alerts, #news, section > div";

const UNKNOWN = "The gateway does not know this token: it was mistyped, or is no longer valid.";
const NOT_OPS = "This token is known, but it is not one of the role ops.";

let seenAt = null; // when the gateway last answered, by this machine's clock
let shownOf = null; // the gateway's time then
let trouble = null; // why it has not since
let timer = null;
let rounds = 0; // each makes the ones before it void

async function round() {
  clearTimeout(timer);
  const mine = ++rounds;
  let overview, parked, failure;
  try {
    overview = await api.overview();
    parked = await cases.loadParked(overview);
  } catch (error) {
    failure = error;
  }
  if (mine !== rounds || (failure && sentAway(failure))) return;
  timer = document.hidden ? null : setTimeout(round, EVERY);
  trouble = failure ?? null;
  byId("desk").hidden = false;
  if (trouble) {
    showTrouble();
  } else {
    seenAt = Date.now();
    shownOf = overview.now.slice(11, 19);
    board.show(overview);
    cases.showParked(parked, overview);
  }
  tick();
}

/** Whether the gateway has refused the token; then it is asked for again. */
function sentAway(error) {
  if (!(error instanceof api.Refused) || ![401, 403].includes(error.status)) return false;
  leave(error.status === 401 ? UNKNOWN : NOT_OPS);
  return true;
}

/** How old is what is on the screen, and what keeps it from being newer. */
function tick() {
  if (!api.token.get()) return;
  byId("age").textContent = seenAt === null ? "asking…" : `${span((Date.now() - seenAt) / 1000)} old`;
  byId("desk").classList.toggle("stale", trouble !== null);
  byId("trouble").hidden = trouble === null;
}

function showTrouble() {
  const refused = trouble instanceof api.Refused;
  fill(byId("readiness"), board.badge("critical", refused ? "not ready" : "no answer"));
  const what = refused ? trouble.message : "The gateway does not answer.";
  byId("trouble").textContent = shownOf === null ? what : `${what} What you see is of ${shownOf}.`;
  document.title = "(!) Gateway";
}

function enter() {
  byId("door").hidden = true;
  byId("search").hidden = byId("leave").hidden = false;
  seenAt = shownOf = trouble = null;
  tick();
  round();
  cases.showAsked();
}

function leave(reason) {
  api.token.forget();
  board.forget();
  clearTimeout(timer);
  rounds++;
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const shown of document.querySelectorAll(SHOWN)) shown.replaceChildren();
  byId("desk").hidden = byId("search").hidden = byId("leave").hidden = true;
  byId("door").hidden = false;
  byId("door-reason").hidden = !reason;
  byId("door-reason").textContent = reason ?? "";
  document.title = "Gateway";
  byId("token").value = "";
  byId("token").focus();
}

cases.begin(round, sentAway);
byId("door").addEventListener("submit", (event) => {
  event.preventDefault();
  api.token.keep(byId("token").value.trim());
  byId("token").value = "";
  enter();
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = `#case=${byId("search-id").value.trim().toUpperCase()}`;
  if (location.hash === wanted) cases.showAsked();
  else location.hash = wanted;
});
byId("leave").addEventListener("click", () => leave());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (api.token.get()) round();
});
setInterval(tick, 1000);

if (api.token.get()) enter();
else leave();
