// Shows the overview, section by section.

import { byId, clock, count, fill, h, hours, plural, span, svg, table, words } from "./dom.js";

const ENDED = [
  "voucher_issued",
  "voucher_rejected",
  "refused",
  "no_number",
  "no_answer",
  "undeliverable",
  "cancelled",
];
const QUEUES = {
  lookup: "look-ups, MCB",
  voucher: "vouchers, wallet",
  journal: "journal, to be sealed",
  statuses: "statuses, SDU",
};
const MAX_SAMPLES = 120; // of the rate: ten minutes

let previous = null; // the previous overview, for the differences
const rates = [];
let bindNow = () => {}; // called with the link that is to bind now
let announced = ""; // the alerts that were given to screen readers, without their numbers

export function begin(onBindNow) {
  bindNow = onBindNow;
}

/** Shows the overview in all sections. */
export function show(overview) {
  const rate = rateSince(previous, overview);
  previous = overview;
  if (rate) rates.push(Object.values(rate).reduce((sum, link) => sum + link.accepted, 0));
  if (rates.length > MAX_SAMPLES) rates.shift();
  showReadiness(overview);
  showAlerts(overview);
  fill(byId("cases"), tiles(overview.cases));
  fill(byId("links"), links(overview, rate), sparkline());
  fill(byId("lists"), lists(overview));
  fill(byId("queues"), queues(overview));
  fill(byId("journal"), journal(overview));
  fill(byId("nodes"), nodes(overview));
}

export function forget() {
  previous = null;
  announced = "";
  rates.length = 0;
}

function showReadiness({ ready, window, rate, business_now, alerts }) {
  const mode =
    rate === 1
      ? null
      : h("span", { class: "hint" }, ` · business time runs at ×${count(rate)}: it is `, clock(business_now));
  const sending = window.open ? "window open" : ["window closed until ", clock(window.opens_at, business_now)];
  fill(
    byId("readiness"),
    badge(ready ? "good" : "critical", ready ? "ready" : "not ready"),
    " ",
    h("span", {}, sending),
    mode,
  );
  const critical = alerts.filter((alert) => alert.level === "critical").length;
  document.title = `${critical ? `(${critical}!) ` : ""}Gateway`;
}

function showAlerts({ alerts }) {
  const none = h("p", { class: "notice good" }, "No alerts.");
  const notice = ({ level, text }) => h("p", { class: `notice ${level}` }, h("strong", {}, level), " ", text);
  fill(byId("alerts"), alerts.length ? alerts.map(notice) : none);
  const texts = alerts.map(({ text }) => text.replace(/\d/g, "")).join();
  if (texts !== announced) byId("announcement").textContent = alerts.map(({ level, text }) => `${level}: ${text}`).join(" ");
  announced = texts;
}

function tiles(cases) {
  const tile = ([state, number]) =>
    h(
      "div",
      { class: number ? null : "none" },
      h("dt", {}, swatch(state), words(state)),
      h("dd", {}, count(number)),
    );
  return h("dl", { class: "tiles" }, Object.entries(cases).map(tile));
}

/** Segments a second by link since the previous overview; null when another process counts, or one restarted. */
function rateSince(previous, after) {
  if (!previous || previous.answered_by !== after.answered_by) return null;
  const seconds = (Date.parse(after.now) - Date.parse(previous.now)) / 1000;
  const rate = {};
  for (const { link, counted } of after.links) {
    const earlier = previous.links.find((one) => one.link === link)?.counted;
    if (!counted || !earlier || seconds <= 0) continue;
    rate[link] = {
      accepted: (counted.accepted - earlier.accepted) / seconds,
      throttled: counted.throttled - earlier.throttled,
    };
  }
  return rate;
}

function links({ links, nodes, now }, rate) {
  const row = (link) => {
    const holder = nodes.find((node) => node.node === link.node);
    const state = !link.bound ? "critical" : link.bound < link.sessions ? "warning" : "good";
    const label =
      link.bound === 0 ? "down" : link.sessions === 1 ? "bound" : `${link.bound} of ${link.sessions} bound`;
    const own = rate?.[link.link];
    return [
      link.link,
      [badge(state, label), h("span", { class: "hint" }, " since ", clock(link.since, now)), attempt(link, now)],
      holder ? nodeName(holder) : "none",
      waiting(link),
      [
        own ? `${count(Math.round(own.accepted))}/s` : "–",
        h("span", { class: "hint" }, link.tps ? ` of ${count(link.tps)}` : " unlimited"),
      ],
      link.send_window === null ? "–" : count(link.send_window),
      link.counted ? [count(link.counted.throttled), own?.throttled > 0 && badge("warning", "now")] : "–",
      link.counted ? count(link.counted.refused) : "–",
      unknownStates(link),
    ];
  };
  return table(
    "Holder, queue and rate of each link. Counted by the process that responds, since its start.",
    ["link", "sessions", "held by", "#waiting", "#segments", "#window", "#throttled", "#refused", "unknown receipts"],
    links.map(row),
  );
}

/** What came of the last attempt to bind, when the next one is, and a button for one at once. */
function attempt({ link, node, bind_failure, next_bind_at }, now) {
  if (!node || !bind_failure) return null;
  const waits = Date.parse(next_bind_at) > Date.parse(now);
  return h(
    "p",
    { class: "row" },
    h("span", {}, bind_failure, waits ? ["; next attempt ", clock(next_bind_at, now, 8)] : "; trying"),
    waits &&
      h(
        "button",
        {
          type: "button",
          "data-key": `bind-${link}`,
          "aria-label": `Bind ${link} now`,
          onclick: () => bindNow(link),
        },
        "Bind now…",
      ),
  );
}

/** Receipts with a state that is not known, as the SMSC writes it. */
function unknownStates({ unknown_states: states }) {
  if (!states) return "–";
  return Object.entries(states).map(([state, number]) => badge("warning", `${state} ${count(number)}`));
}

function waiting({ queued, segments, hours: time }) {
  if (!queued) return "nothing";
  const how = time === null ? plural(segments, "segment") : `${plural(segments, "segment")}, ≈ ${hours(time)}`;
  return [plural(queued, "text"), h("span", { class: "hint" }, ` ${how}`)];
}

/** A chart of segments a second since the page was opened, ten minutes at most. */
function sparkline() {
  if (rates.length < 2) return null;
  const most = Math.max(...rates, 1);
  const points = rates
    .map((rate, i) => `${((i * 100) / (rates.length - 1)).toFixed(1)},${(29 - (rate / most) * 28).toFixed(1)}`)
    .join(" ");
  const [now, peak] = [rates.at(-1), most].map((rate) => count(Math.round(rate)));
  const label = `Segments a second, last ${span(rates.length * 5)}: ${now} now, ${peak} at most`;
  return h(
    "figure",
    {},
    svg(
      "svg",
      { viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": label },
      svg("polyline", { points }),
    ),
    h("figcaption", { class: "hint" }, label),
  );
}

function lists({ lists, now }) {
  if (!lists.length) return h("p", {}, "No list was accepted yet.");
  const item = ({ list_id, received_at, accepted, rejected, progress }) => {
    const ended = ENDED.reduce((sum, state) => sum + progress[state], 0);
    const present = Object.entries(progress).filter(([, number]) => number > 0);
    return h(
      "li",
      {},
      h(
        "p",
        {},
        h("strong", {}, list_id),
        " ",
        h(
          "span",
          { class: "hint" },
          plural(accepted, "case"),
          ", ",
          share(ended, accepted),
          " ended; accepted ",
          clock(received_at, now),
          rejected ? `; ${plural(rejected, "line")} rejected` : null,
        ),
      ),
      h(
        "div",
        { class: "bar", "aria-hidden": "true" },
        present.map(([state, number]) => slice(state, number)),
      ),
      h(
        "ul",
        { class: "legend" },
        present.map(([state, number]) =>
          h("li", {}, swatch(state), `${words(state)} `, h("b", {}, count(number))),
        ),
      ),
    );
  };
  return h("ul", { class: "lists" }, lists.map(item));
}

function slice(state, number) {
  const part = coloured(state, h("span", { title: `${words(state)}: ${count(number)}` }));
  part.style.flexGrow = number;
  return part;
}

function queues({ queues }) {
  const row = ({ queue, depth, seconds, failing }) => [
    QUEUES[queue] ?? words(queue),
    count(depth),
    depth ? span(seconds) : "–",
    failing ? badge("warning", `${count(failing)} failing`) : "",
  ];
  return table("Queues in the database", ["queue", "#waiting", "#oldest", "calls"], queues.map(row));
}

function journal({ journal, now }) {
  const state = journal.faults
    ? badge("critical", "broken")
    : journal.checked
      ? badge("good", "holds")
      : badge("plain", "not checked yet");
  const latest = journal.sealed_at ? ["the latest of ", clock(journal.sealed_at, now)] : "none yet";
  return h(
    "p",
    {},
    h("strong", {}, "Journal "),
    state,
    ` ${plural(journal.entries, "entry").replace("entrys", "entries")}, `,
    latest,
    h("span", { class: "hint" }, `; ${count(journal.checked)} checks by the process that responds`),
  );
}

function nodes({ nodes, answered_by, now }) {
  const row = (node) => [
    [nodeName(node), node.node === answered_by && h("span", { class: "hint" }, " responds")],
    badge(node.alive ? "good" : "critical", node.alive ? "alive" : "no heartbeat"),
    clock(node.started_at, now),
    clock(node.seen_at, now, 8),
  ];
  return table("Processes of this database", ["process", "state", "started", "heartbeat"], nodes.map(row));
}

function coloured(state, element) {
  element.style.setProperty("--colour", `var(--${state})`);
  return element;
}

const nodeName = ({ node, name }) => h("span", { title: node }, name);
const swatch = (state) => coloured(state, h("span", { class: "swatch", "aria-hidden": "true" }));
const share = (part, whole) => (whole ? `${Math.floor((100 * part) / whole)} %` : "–");
export const badge = (level, text) => h("span", { class: `badge ${level}` }, text);
