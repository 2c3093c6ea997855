// The simulators' page: shows what the simulators send as server-sent events, and commands them.

import { logIn, onRejected } from "./api.js";
import * as canteen from "./canteen.js";
import { byId, h, moment } from "./dom.js";
import { choose, language, LANGUAGES, t, translate } from "./language.js";
import * as partners from "./partners.js";
import * as telephones from "./telephones.js";
import * as wallet from "./wallet.js";

const SHOW = {
  telephone: telephones.showOne,
  telephones: telephones.showList,
  voucher: wallet.showOne,
  vouchers: wallet.showList,
  complaints: wallet.showComplaints,
  canteen: canteen.show,
  statuses: partners.showStatuses,
  report: partners.showReport,
  switches: partners.showSwitches,
  push: partners.showPush,
};

let clock = null; // { now, day_seconds, at }: business time at an instant of this page

function showProblem(text) {
  byId("problem").hidden = !text;
  byId("problem").textContent = text ?? "";
}

function showClock() {
  if (!clock) return;
  const { now, day_seconds: day, at } = clock;
  const passed = ((performance.now() - at) * 86_400) / day;
  const local = now && new Date(Date.parse(`${now.slice(0, 19)}Z`) + passed).toISOString();
  byId("clock").textContent = local ? t("clock", { at: moment(local) }) : "";
  byId("pace").textContent = t("pace", { day, repeat: 4 * day });
}

function listen() {
  const events = new EventSource("events");
  events.addEventListener("clock", (event) => {
    clock = { ...JSON.parse(event.data), at: performance.now() };
    showClock();
  });
  events.addEventListener("section", (event) => {
    const [name, content] = JSON.parse(event.data);
    const [kind, id] = name.split("/");
    SHOW[kind]?.(id ?? content, content);
  });
  events.addEventListener("open", () => showProblem(null));
  events.addEventListener("error", () => {
    const ended = events.readyState === EventSource.CLOSED;
    showProblem(t(ended ? "key_needed" : "no_response"));
  });
}

translate();
for (const [code, name] of Object.entries(LANGUAGES)) byId("language").append(h("option", { value: code, lang: code }, name));
byId("language").value = language;
byId("language").addEventListener("change", ({ target }) => choose(target.value));
onRejected(showProblem);
telephones.begin(wallet.showOf);
wallet.begin(canteen.showCards);
canteen.begin(wallet.shownCode);
partners.begin();
setInterval(showClock, 250);
logIn().then(listen, (error) => showProblem(error.message));
