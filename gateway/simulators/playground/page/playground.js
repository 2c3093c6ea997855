// The simulators' page: shows what the simulators send as server-sent events, and commands them.

import { logIn, onRefused } from "./api.js";
import * as canteen from "./canteen.js";
import { byId, moment } from "./dom.js";
import * as partners from "./partners.js";
import * as telephones from "./telephones.js";
import * as wallet from "./wallet.js";

const SHOW = {
  telephone: telephones.showOne,
  telephones: telephones.showList,
  voucher: wallet.showOne,
  vouchers: wallet.showList,
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
  byId("clock").textContent = local ? `${moment(local)} in Almaty` : "";
  byId("pace").textContent = `A day lasts ${day} s: without a reply the text comes again after about ${4 * day} s.`;
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
    showProblem(
      ended ? "Open the address that the terminal shows: it has the key." : "The demo does not respond: has it ended?",
    );
  });
}

onRefused(showProblem);
telephones.begin(wallet.showOf);
wallet.begin();
canteen.begin(wallet.shownCode);
partners.begin();
setInterval(showClock, 250);
logIn().then(listen, (error) => showProblem(error.message));
