// The wallet: vouchers, their activation, their dynamic QR codes and their history.

import { act } from "./api.js";
import { byId, fill, h, svg, time } from "./dom.js";

const MARGIN_MS = 1000; // before a code ends, the next one is made
const states = new Map(); // by voucher_id
let ids = [];
let owner = null; // number of the telephone whose wallet is shown
let shown = null; // { id, code, path, modules, until }: the code on the wallet's screen
let timer = null;

export function begin() {
  setInterval(showSeconds, 500);
}

/** The code on the wallet's screen, null when there is none. */
export const shownCode = () => shown?.code ?? null;

/** Shows the wallet on the telephone of this number. */
export function showOf(number) {
  if (owner === number) return;
  owner = number;
  hideCode();
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
  fill(
    byId("vouchers"),
    own.length ? own.map(voucher) : h("li", { class: "hint" }, "No voucher yet: the parent has to agree first."),
  );
  byId("pick-up").disabled = !shown;
  showSeconds();
}

function voucher(id) {
  const state = states.get(id);
  const active = state.history.some((entry) => entry.type === "activated");
  const used = state.history.some((entry) => entry.type === "used");
  return h(
    "li",
    { class: "voucher" },
    h("h3", {}, state.pupil),
    h("p", { class: "hint" }, `${id}, school year ${state.school_year}, for ${state.recipient}`),
    h("p", {}, h("strong", { class: "state" }, used ? "used" : active ? "active" : "formed")),
    h(
      "div",
      { class: "row" },
      !active && button(id, "Activate", () => act("activate", { voucher: id })),
      active && shown?.id !== id && button(id, "Show the code", () => showCode(id)),
      shown?.id === id && button(id, "Hide the code", hideCode),
    ),
    shown?.id === id && code(),
    h("h4", {}, "History"),
    h(
      "ol",
      { class: "history" },
      state.history.map((entry) => h("li", {}, `${entry.type} `, time(entry.at))),
    ),
  );
}

function button(id, name, onclick) {
  return h("button", { type: "button", "data-key": id, "aria-label": `${name}, voucher ${id}`, onclick }, name);
}

function code() {
  const { code, path, modules } = shown;
  return h(
    "figure",
    {},
    svg(
      "svg",
      { viewBox: `0 0 ${modules} ${modules}`, role: "img", "aria-label": `QR code of ${code}`, class: "qr" },
      svg("path", { d: path }),
    ),
    h("figcaption", {}, h("code", { id: "shown-code" }, code), h("span", { id: "seconds", class: "hint" })),
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
  if (place) place.textContent = ` for ${Math.max(0, Math.round((shown.until - performance.now()) / 1000))} s`;
}
