// Shows the overview, section by section.

import { casesAddress } from "./campaign.js";
import { badge, byId, clock, coloured, count, fill, h, hint, hours, share, span, swatch, table } from "./dom.js";
import { knows, named, phrase, t } from "./language.js";

const ENDED = [
  "voucher_issued",
  "voucher_rejected",
  "refused",
  "no_number",
  "no_answer",
  "undeliverable",
  "cancelled",
];

let previous = null; // the overview before the last one with other counters, for the rates
let bindNow = () => {}; // called with the link that is to bind now
let announced = ""; // the alerts that were given to screen readers, without their numbers

export function begin(onBindNow) {
  bindNow = onBindNow;
}

/** Shows the overview in all sections. */
export function show(overview) {
  const rate = rateSince(previous, overview);
  previous = overview;
  showReadiness(overview);
  showAlerts(overview);
  fill(byId("cases"), tiles(overview.cases));
  fill(byId("links"), links(overview, rate));
  fill(byId("partners"), partners(overview));
  fill(byId("lists"), lists(overview));
  fill(byId("queues"), queues(overview));
  fill(byId("journal"), journal(overview));
  fill(byId("nodes"), nodes(overview));
}

export function forget() {
  previous = null;
  announced = "";
}

function showReadiness({ ready, window, rate, business_now, alerts }) {
  const mode =
    rate === 1 ? null : hint(" · ", phrase("business_time", { rate: count(rate), at: clock(business_now) }));
  const sending = window.open
    ? t("window_open")
    : phrase("window_closed", { at: clock(window.opens_at, business_now) });
  fill(
    byId("readiness"),
    badge(ready ? "good" : "critical", t(ready ? "ready" : "not_ready")),
    " ",
    h("span", {}, sending),
    mode,
  );
  const critical = alerts.filter((alert) => alert.level === "critical").length;
  document.title = `${critical ? `(${critical}!) ` : ""}${t("title")}`;
}

function showAlerts({ alerts, ready }) {
  const none = ready
    ? h("p", { class: "notice good" }, t("alerts_none"))
    : h("p", { class: "notice warning" }, t("alerts_not_yet"));
  fill(byId("alerts"), alerts.length ? alerts.map(notice) : none);
  const texts = alerts.map(({ text }) => text.replace(/\d/g, "")).join();
  const spoken = ({ level, code, about }) => `${t(level)}: ${named("alert", code)} ${about}.`;
  if (texts !== announced) byId("announcement").textContent = alerts.map(spoken).join(" ");
  announced = texts;
}

/** What an alert says: its sentences in the page's language, or the gateway's text where the page lacks one. */
function said({ text, sentences = [], fields = {} }) {
  if (!sentences.length || !sentences.every((key) => knows("says", key))) return h("span", { lang: "en" }, text);
  const values = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, shownField(name, value)]));
  return h("span", {}, sentences.map((key, i) => [i > 0 && " ", phrase(`says_${key}`, values)]));
}

function shownField(name, value) {
  if (name === "partner") return named("partner", value);
  if (name.endsWith("_at")) return clock(value);
  if (typeof value === "string") return value;
  return name.endsWith("_seconds") ? span(value) : count(value);
}

/** An alert: what it is, what it says, what to do, and where the runbook has more. */
function notice(alert) {
  const { level, code, about } = alert;
  const what = [h("strong", {}, t(level)), " ", h("b", {}, named("alert", code)), about && ` · ${about}`, ". "];
  return h(
    "div",
    { class: `notice ${level}` },
    h("p", {}, what, said(alert)),
    h("p", {}, h("b", {}, t("what_to_do")), ` ${named("do", code)}`),
    h("p", { class: "place" }, t("runbook", { place: `docs/ops/runbook.md#${code}` })),
  );
}

/** The alerts that were, the newest first. */
export function showHistory({ alerts }, now) {
  const row = (alert) => [
    [badge(alert.level, t(alert.level)), " ", named("alert", alert.code)],
    alert.about || "–",
    clock(alert.began_at, now),
    alert.ended_at ? clock(alert.ended_at, now) : badge(alert.level, t("lasts")),
    said(alert),
  ];
  const columns = [t("alert"), t("about"), t("began"), t("ended"), t("text")];
  const shown = alerts.length ? table(t("history_caption"), columns, alerts.map(row)) : h("p", {}, t("history_none"));
  fill(byId("history"), shown);
}

function tiles(cases) {
  const tile = ([state, number]) =>
    h(
      "div",
      { class: number ? null : "none" },
      h("dt", {}, swatch(state), named("state", state)),
      h("dd", {}, number && state === "parked" ? h("a", { href: "#parked-title" }, count(number)) : count(number)),
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
    const own = rate?.[link.link];
    return [
      link.link,
      [badge(state, sessionsOf(link)), hint(" ", phrase("since", { at: clock(link.since, now) })), attempt(link, now)],
      holder ? nodeName(holder) : t("none"),
      waiting(link),
      rateOf(link, own),
      link.send_window === null ? "–" : count(link.send_window),
      link.counted ? [count(link.counted.throttled), own?.throttled > 0 && badge("warning", t("now"))] : "–",
      link.counted ? count(link.counted.refused) : "–",
      receiptStates(link),
    ];
  };
  const columns = [
    t("link"),
    t("sessions"),
    t("held_by"),
    `#${t("waiting")}`,
    `#${t("segments_rate")}`,
    `#${t("window")}`,
    `#${t("throttled")}`,
    `#${t("refused_column")}`,
    t("unknown_receipts"),
  ];
  return table(t("links_caption"), columns, links.map(row));
}

function sessionsOf({ bound, sessions }) {
  if (!bound) return t("down");
  return sessions === 1 ? t("bound") : t("bound_of", { bound, sessions });
}

/** Segments a second against the link's `tps`, as words and as a meter. */
function rateOf({ link, tps }, own) {
  const accepted = own && Math.round(own.accepted);
  return [
    own ? t("per_second", { rate: count(accepted) }) : "–",
    hint(" ", tps ? t("of_tps", { tps: count(tps) }) : t("unlimited")),
    own && tps ? h("meter", { min: 0, max: tps, value: Math.min(accepted, tps), "aria-label": link }) : null,
  ];
}

/** What came of the last attempt to bind, when the next one is, and a button for one at once. */
function attempt({ link, node, bind_failure, next_bind_at }, now) {
  if (!node || !bind_failure) return null;
  const waits = Date.parse(next_bind_at) > Date.parse(now);
  const next = waits ? phrase("next_attempt", { at: clock(next_bind_at, now, 8) }) : t("trying");
  return h(
    "p",
    { class: "row" },
    h("span", {}, bind_failure, next),
    waits &&
      h(
        "button",
        {
          type: "button",
          "data-key": `bind-${link}`,
          "aria-label": t("bind_now_of", { link }),
          onclick: () => bindNow(link),
        },
        t("bind_now"),
      ),
  );
}

/** Receipts with a state that is not known, as the SMSC writes it, and those after which another may follow. */
function receiptStates({ unknown_states: unknown, not_final: notFinal }) {
  if (!unknown) return "–";
  const shown = (states, level) =>
    Object.entries(states).map(([state, number]) => badge(level, `${state} ${count(number)}`));
  return [...shown(unknown, "warning"), ...shown(notFinal, "info")];
}

function waiting({ queued, segments, hours: time }) {
  if (!queued) return t("nothing");
  const shown =
    time === null
      ? t("segments_waiting", { segments: count(segments) })
      : t("segments_time", { segments: count(segments), time: hours(time) });
  return [t("texts_waiting", { texts: count(queued) }), hint(" ", shown)];
}

function partners({ partners, now }) {
  if (!partners.length) return h("p", {}, t("partners_none"));
  const row = ({ partner, responded_at, failed_at, failure, paused }) => {
    const failing = failed_at && (!responded_at || Date.parse(failed_at) > Date.parse(responded_at));
    const [level, key] = paused
      ? ["critical", "partner_paused"]
      : failing
        ? ["warning", "partner_failing"]
        : responded_at
          ? ["good", "partner_fine"]
          : ["plain", "partner_unasked"];
    return [
      named("partner", partner),
      badge(level, t(key)),
      responded_at ? clock(responded_at, now, 8) : "–",
      failed_at ? [`${failure ?? ""} `, clock(failed_at, now, 8)] : "–",
    ];
  };
  const columns = [t("partner"), t("state"), t("last_response"), t("last_failure")];
  return table(t("partners_caption"), columns, partners.map(row));
}

function lists({ lists, now }) {
  if (!lists.length) return h("p", {}, t("lists_none"));
  const item = ({ list_id, received_at, accepted, rejected, progress }) => {
    const ended = ENDED.reduce((sum, state) => sum + progress[state], 0);
    const present = Object.entries(progress).filter(([, number]) => number > 0);
    const values = { cases: count(accepted), share: share(ended, accepted), at: clock(received_at, now) };
    const legend = ([state, number]) =>
      h(
        "li",
        {},
        swatch(state),
        `${named("state", state)} `,
        h("a", { href: casesAddress(list_id, state), "data-key": `${list_id}-${state}` }, count(number)),
      );
    return h(
      "li",
      {},
      h(
        "p",
        {},
        h("strong", {}, list_id),
        " ",
        hint(
          phrase(accepted ? "list_about" : "list_empty", values),
          rejected ? `; ${t("rejected_lines", { count: count(rejected) })}` : null,
        ),
      ),
      present.length > 0 && [
        h("div", { class: "bar", "aria-hidden": "true" }, present.map(slice)),
        h("ul", { class: "legend" }, present.map(legend)),
      ],
    );
  };
  return h("ul", { class: "lists" }, lists.map(item));
}

function slice([state, number]) {
  const part = coloured(state, h("span", { title: `${named("state", state)}: ${count(number)}` }));
  part.style.flexGrow = number;
  return part;
}

function queues({ queues }) {
  const row = ({ queue, depth, seconds, failing }) => [
    named("queue", queue),
    count(depth),
    depth ? span(seconds) : "–",
    failing ? badge("warning", t("failing", { count: count(failing) })) : "",
  ];
  const columns = [t("queue"), `#${t("waiting")}`, `#${t("oldest")}`, t("calls")];
  return table(t("queues_caption"), columns, queues.map(row));
}

function journal({ journal, now }) {
  const state = journal.faults
    ? badge("critical", t("journal_broken"))
    : journal.checked
      ? badge("good", t("journal_holds"))
      : badge("plain", t("journal_unchecked"));
  const latest = journal.sealed_at ? clock(journal.sealed_at, now) : "–";
  return h(
    "p",
    {},
    h("strong", {}, `${t("journal")} `),
    state,
    " ",
    phrase("journal_about", { count: count(journal.entries), at: latest }),
    hint(t("journal_checks", { count: count(journal.checked) })),
  );
}

function nodes({ nodes, answered_by, now }) {
  const row = (node) => [
    [nodeName(node), node.node === answered_by && hint(` ${t("responds")}`)],
    badge(node.alive ? "good" : "critical", t(node.alive ? "alive" : "no_heartbeat")),
    clock(node.started_at, now),
    clock(node.seen_at, now, 8),
  ];
  const columns = [t("process"), t("state"), t("started"), t("heartbeat")];
  return table(t("nodes_caption"), columns, nodes.map(row));
}

const nodeName = ({ node, name }) => h("span", { title: node }, name);
