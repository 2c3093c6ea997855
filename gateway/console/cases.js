// Cases: the parked ones, those with a held reply, those of a list in a state or found, and one case as a whole.

import * as acts from "./acts.js";
import * as api from "./api.js";
import { byId, clock, count, fill, h, hint } from "./dom.js";
import { named, phrase, t } from "./language.js";
import { showCase } from "./case.js";

const MAX_SHOWN = 50; // parked cases, held replies, cases of a page
const NO_ROUTE = "no_route";

export function begin() {
  window.addEventListener("hashchange", showRequested);
  for (const id of ["case", "found"])
    byId(id).addEventListener("close", () => {
      acts.leaveDialog();
      if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    });
}

/** Shows what the address names: #case=ID, or #list=LIST&state=STATE. */
export function showRequested() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const [id, list, state] = ["case", "list", "state"].map((name) => wanted.get(name));
  if (!api.token.get()) return;
  acts.clearMessage();
  if (id) acts.attempt(async () => showCase(await api.caseOf(id)));
  else if (list && state) acts.attempt(async () => showCasesOf(list, state));
}

/** Shows the cases that a search has found, and what there is to say of it: the only one as a whole. */
export function showFound(cases, note = "") {
  acts.clearMessage();
  if (!cases.length) acts.showMessage(`${t("not_found")} ${note}`.trim());
  else if (cases.length === 1) goTo(cases[0].case_id);
  else showInDialog(t("cases_found", { count: count(cases.length) }), cases, null, note);
}

/** Shows a case by its address, again where it is shown already. */
export function goTo(id) {
  const wanted = `#${new URLSearchParams({ case: id })}`;
  if (location.hash === wanted) showRequested();
  else location.hash = wanted;
}

async function showCasesOf(list, state) {
  let cases = [];
  const more = async (after) => {
    let page;
    do {
      page = await api.casesOf(list, state, MAX_SHOWN, after);
      after = page.next;
    } while (!page.cases.length && after !== null);
    cases = [...cases, ...page.cases];
    const next = after === null ? null : () => acts.attempt(() => more(after));
    showInDialog(t("cases_of", { list, state: named("state", state) }), cases, next);
  };
  await more(null);
}

function showInDialog(title, cases, next, note = "") {
  const dialog = byId("found");
  const item = ({ case_id, list_id, record_id, state, opened_at, recipient, relation, msisdn }) => {
    const person = recipient ?? (msisdn ? { relation, msisdn } : null);
    return h(
      "li",
      {},
      h(
        "div",
        {},
        link(case_id, "found"),
        hint(` ${list_id} · ${record_id}`),
        h(
          "p",
          {},
          named("state", state),
          person && `, ${named("relation", person.relation)} ${person.msisdn}`,
          hint(" ", phrase("since", { at: clock(opened_at) })),
        ),
      ),
    );
  };
  fill(
    dialog,
    h("h2", { id: "found-title" }, title),
    note && h("p", {}, note),
    cases.length ? h("ul", { class: "parked" }, cases.map(item)) : h("p", {}, t("cases_none")),
    h(
      "p",
      { class: "row" },
      next && h("button", { type: "button", "data-key": "more", onclick: next }, t("more")),
      h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("close")),
    ),
  );
  if (!dialog.open) dialog.showModal();
}

// --- parked cases, held replies

export async function loadParked(overview) {
  return overview.cases.parked ? (await api.parked(MAX_SHOWN)).cases : [];
}

export function showParked(cases, overview) {
  const all = Math.max(overview.cases.parked, cases.length);
  if (!all) return fill(byId("parked"), h("p", {}, t("parked_none")));
  const releaseAll = { type: "button", "data-key": "release-all", onclick: () => acts.askReleaseAll(all) };
  fill(
    byId("parked"),
    h(
      "p",
      { class: "row" },
      h("span", {}, t("parked_first", { count: count(all), shown: count(cases.length) })),
      h("button", releaseAll, t("release_all", { count: count(all) })),
    ),
    h(
      "ul",
      { class: "parked", tabindex: "0" },
      cases.map((one) => parkedItem(one, overview.business_now)),
    ),
  );
}

function parkedItem({ case_id, list_id, record_id, parked }, now) {
  const release = {
    type: "button",
    "data-key": `release-${case_id}`,
    "aria-label": t("release_of", { case: case_id }),
    onclick: () => acts.askRelease(case_id),
  };
  const since = parked && hint(" ", phrase("since", { at: clock(parked.at, now) }));
  const why = parked && (parked.reason === NO_ROUTE ? t("no_route") : parked.reason);
  return h(
    "li",
    {},
    h(
      "div",
      {},
      link(case_id, "show"),
      hint(` ${list_id} · ${record_id}`),
      h("p", {}, parked ? [why, since] : t("parked_now")),
    ),
    h("button", release, t("release")),
  );
}

export async function loadHeld(overview) {
  return overview.held.length ? (await api.held(MAX_SHOWN)).cases : [];
}

export function showHeld(cases, overview) {
  if (!cases.length) return fill(byId("held"), h("p", {}, t("held_none")));
  fill(
    byId("held"),
    h("p", {}, t("held_first", { shown: count(cases.length) })),
    h(
      "ul",
      { class: "parked", tabindex: "0" },
      cases.map((one) => heldItem(one, overview.business_now)),
    ),
  );
}

function heldItem({ case_id, list_id, record_id, held }, now) {
  const reply = held && t(`held_${held.verdict}`, held);
  const since = held && hint(" ", phrase("since", { at: clock(held.at, now) }));
  return h(
    "li",
    {},
    h("div", {}, link(case_id, "held"), hint(` ${list_id} · ${record_id}`), held && h("p", {}, reply, since)),
  );
}

const link = (id, from) => h("a", { href: `#case=${id}`, class: "id", "data-key": `${from}-${id}` }, id);
