// The wallet: vouchers, their activation, their dynamic QR codes, their history with ratings, and complaints.

import { act } from "./api.js";
import { byId, fill, h, moment, svg, time } from "./dom.js";
import { named, t } from "./language.js";

const MARGIN_MS = 1000; // before a code ends, the next one is made
const MARKS = [1, 2, 3, 4, 5];
const states = new Map(); // by voucher_id
let ids = [];
let owner = null; // number of the telephone whose wallet is shown
let complaints = {}; // by number
let shown = null; // { id, code, path, modules, until }: the code on the wallet's screen
let timer = null;
let onVouchers = () => {};

/** `listen` is called with the vouchers of all wallets, each with `id` and `pupil`. */
export function begin(listen) {
  onVouchers = listen;
  setInterval(showSeconds, 500);
  byId("complaint").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = byId("complaint-text").value;
    if ((await act("complain", { number: owner, text })) === null) return;
    byId("complaint-text").value = "";
    byId("news").textContent = t("complained");
  });
}

/** The code on the wallet's screen, null when there is none. */
export const shownCode = () => shown?.code ?? null;

/** Shows the wallet on the telephone of this number. */
export function showOf(number) {
  if (owner === number) return;
  owner = number;
  hideCode();
  showComplaints(complaints);
}

export function showOne(id, state) {
  const before = states.get(id);
  states.set(id, state);
  const last = state.history.at(-1);
  if (shown?.id === id && before && last.type === "used" && state.history.length > before.history.length) hideCode();
  if (ids.includes(id)) showList(ids);
}

export function showList(list) {
  ids = list;
  const own = ids.filter((id) => states.get(id)?.number === owner);
  fill(byId("vouchers"), own.length ? own.map(voucher) : h("li", { class: "hint" }, t("vouchers_none")));
  byId("pick-up").disabled = !shown;
  byId("complaint").hidden = !own.length;
  showSeconds();
  onVouchers(ids.map((id) => ({ id, pupil: states.get(id).pupil })));
}

export function showComplaints(all) {
  complaints = all;
  const own = complaints[owner] ?? [];
  byId("complaints-title").hidden = !own.length;
  fill(
    byId("complaints"),
    own.map(({ number, at, text }) =>
      h("li", {}, t("complaint_sent", { number }), " ", at && time(at), h("p", { class: "text" }, text)),
    ),
  );
}

function voucher(id) {
  const { pupil, recipient, school_year: year, history } = states.get(id);
  const types = history.map((entry) => entry.type);
  const active = types.includes("activated");
  return h(
    "li",
    { class: "voucher" },
    h("h3", {}, pupil),
    h("p", { class: "hint" }, t("voucher_about", { voucher: id, year, recipient })),
    h("p", {}, h("strong", {}, named("voucher", types.at(-1)))),
    h(
      "div",
      { class: "row" },
      !active && button(id, t("activate"), () => act("activate", { voucher: id })),
      active && shown?.id !== id && button(id, t("show_code"), () => showCode(id)),
      shown?.id === id && button(id, t("hide_code"), hideCode),
    ),
    shown?.id === id && code(),
    h("h4", {}, t("history")),
    h("ol", { class: "history" }, history.map(entry)),
  );
}

function button(id, name, onclick) {
  const label = t("of_voucher", { act: name, voucher: id });
  return h("button", { type: "button", "data-key": id, "aria-label": label, onclick }, name);
}

/** One line of the history; a meal has its rating, or what it is rated with. */
function entry({ type, at, meal, marks }) {
  return h(
    "li",
    {},
    `${named("history", type)} `,
    time(at),
    marks && h("span", {}, " ", t("rated", { marks })),
    meal && !marks && rating(meal, t("rate", { at: moment(at) })),
  );
}

function rating(meal, title) {
  const rate = async (marks) => {
    if ((await act("rate", { meal, marks })) !== null) byId("news").textContent = t("rated", { marks });
  };
  return h(
    "div",
    { class: "row", role: "group", "aria-label": title },
    h("span", { class: "hint", "aria-hidden": "true" }, title),
    MARKS.map((marks) =>
      h(
        "button",
        {
          type: "button",
          "data-key": `${meal} ${marks}`,
          "aria-label": t("marks", { marks }),
          onclick: () => rate(marks),
        },
        String(marks),
      ),
    ),
  );
}

function code() {
  const { code, path, modules } = shown;
  return h(
    "figure",
    {},
    svg(
      "svg",
      { viewBox: `0 0 ${modules} ${modules}`, role: "img", "aria-label": t("qr_code", { code }), class: "qr" },
      svg("path", { d: path }),
    ),
    h("figcaption", {}, h("code", { id: "shown-code" }, code), " ", h("span", { id: "seconds", class: "hint" })),
  );
}

async function showCode(id) {
  clearTimeout(timer);
  const made = await act("code", { voucher: id });
  if (made === null) return hideCode();
  shown = { id, ...made, until: performance.now() + made.seconds * 1000 };
  timer = setTimeout(() => showCode(id), Math.max(MARGIN_MS, made.seconds * 1000 - MARGIN_MS));
  showList(ids);
}

function hideCode() {
  clearTimeout(timer);
  shown = null;
  showList(ids);
}

function showSeconds() {
  const place = byId("seconds");
  if (!place) return;
  place.textContent = t("code_seconds", { seconds: Math.max(0, Math.round((shown.until - performance.now()) / 1000)) });
}
