// Cases: the parked ones, those with a held reply, one case with its journal; and the actions on cases and links.

import * as api from "./api.js";
import { badge } from "./board.js";
import { byId, clock, count, fill, h, plural, words } from "./dom.js";

const MAX_SHOWN = 50; // parked cases, held replies
const MAX_RELEASED = 500; // by one request
const OPEN = ["looking_up", "queued", "asked", "reminded", "parked"];
const HAS_TEXT = ["asked", "reminded", "consented", "voucher_issued", "voucher_rejected", "refused"];
const FAULTS = new Set([
  "parked",
  "text_refused",
  "text_undeliverable",
  "voucher_rejected",
  "reply_unclear",
  "reply_held",
  "undeliverable",
]);
const REASONS = { no_route: "no_route: no link of the configuration carries the number" };

const message = byId("message");

let messageTimer; // removes the message
let changed = () => {}; // called after an action
let failed = () => {}; // called with the error of an action

export function begin(onChange, onFailure) {
  changed = onChange;
  failed = onFailure;
  window.addEventListener("hashchange", showRequested);
  byId("case").addEventListener("close", () => {
    document.body.append(message);
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  });
}

/** Shows the case that the address names: #case=ID. */
export function showRequested() {
  const id = new URLSearchParams(location.hash.slice(1)).get("case");
  if (id && api.token.get()) attempt(async () => showCase(await api.caseOf(id)));
}

// --- parked cases

export async function loadParked(overview) {
  return overview.cases.parked ? (await api.parked(MAX_SHOWN)).cases : [];
}

export function showParked(cases, overview) {
  const all = Math.max(overview.cases.parked, cases.length);
  if (!all) return fill(byId("parked"), h("p", {}, "No case is parked."));
  fill(
    byId("parked"),
    h(
      "p",
      { class: "row" },
      h("span", {}, plural(all, "case"), all > cases.length ? `; the first ${count(cases.length)}:` : ":"),
      h(
        "button",
        { type: "button", "data-key": "release-all", onclick: () => askReleaseAll(all) },
        `Release all ${count(all)}…`,
      ),
    ),
    h(
      "ul",
      { class: "parked" },
      cases.map((one) => parkedItem(one, overview.business_now)),
    ),
  );
}

function parkedItem({ case_id, list_id, record_id, parked }, now) {
  return h(
    "li",
    {},
    h(
      "div",
      {},
      h("a", { href: `#case=${case_id}`, class: "id", "data-key": `show-${case_id}` }, case_id),
      h("span", { class: "hint" }, ` ${list_id} · ${record_id}`),
      h(
        "p",
        {},
        parked
          ? [
              REASONS[parked.reason] ?? parked.reason,
              h("span", { class: "hint" }, " since ", clock(parked.at, now)),
            ]
          : "now",
      ),
    ),
    h(
      "button",
      {
        type: "button",
        "data-key": `release-${case_id}`,
        "aria-label": `Release ${case_id}`,
        onclick: () => askRelease(case_id),
      },
      "Release…",
    ),
  );
}

// --- held replies

export async function loadHeld(overview) {
  return overview.held.length ? (await api.held(MAX_SHOWN)).cases : [];
}

export function showHeld(cases, overview) {
  if (!cases.length) return fill(byId("held"), h("p", {}, "No reply is held."));
  fill(
    byId("held"),
    h("p", {}, cases.length < MAX_SHOWN ? plural(cases.length, "case") : `The first ${count(MAX_SHOWN)} cases`, ":"),
    h(
      "ul",
      { class: "parked" },
      cases.map((one) => heldItem(one, overview.business_now)),
    ),
  );
}

function heldItem({ case_id, list_id, record_id, held }, now) {
  return h(
    "li",
    {},
    h(
      "div",
      {},
      h("a", { href: `#case=${case_id}`, class: "id", "data-key": `held-${case_id}` }, case_id),
      h("span", { class: "hint" }, ` ${list_id} · ${record_id}`),
      held && h("p", {}, heldWords(held), h("span", { class: "hint" }, " since ", clock(held.at, now))),
    ),
  );
}

const heldWords = ({ verdict, link, operator }) =>
  `${verdict === "agree" ? "agrees" : "refuses"}, by ${link}; the number is of ${operator}`;

// --- one case

function showCase(shown) {
  const { case_id, state, recipient, held, journal } = shown;
  const dialog = byId("case");
  const facts = [
    ["list", shown.list_id],
    ["record", shown.record_id],
    ["service", shown.service],
    ["opened", clock(shown.opened_at)],
    ["ended", shown.ended_at ? clock(shown.ended_at) : "not yet"],
    ["recipient", recipient ? `${recipient.relation}, ${recipient.msisdn}` : "unknown"],
    ...(held ? [["held reply", heldWords(held)]] : []),
  ];
  fill(
    dialog,
    h(
      "h2",
      { id: "case-title" },
      h("span", { class: "id" }, case_id),
      " ",
      badge(state === "parked" ? "warning" : "plain", words(state)),
    ),
    h(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    ),
    h(
      "p",
      { class: "row" },
      state === "parked" && h("button", { type: "button", onclick: () => askRelease(case_id) }, "Release…"),
      held &&
        h("button", { type: "button", onclick: () => askAcceptReply(case_id, held) }, "Count the held reply…"),
      OPEN.includes(state) && h("button", { type: "button", onclick: () => askCancel(case_id) }, "Cancel…"),
      HAS_TEXT.includes(state) &&
        h("button", { type: "button", onclick: () => askResend(case_id) }, "Send its text again…"),
      h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Close"),
    ),
    h("h3", {}, "Journal"),
    h("ol", { class: "journal" }, journal.map(entry)),
  );
  if (!dialog.open) dialog.showModal();
}

function entry({ seq, at, event, detail }) {
  const value = (one) =>
    Array.isArray(one) ? one.join(", ") : typeof one === "object" ? JSON.stringify(one) : String(one);
  const details = Object.entries(detail).map(([name, one]) =>
    h("div", {}, h("dt", {}, words(name)), h("dd", {}, value(one))),
  );
  return h(
    "li",
    { class: FAULTS.has(event) ? "fault" : null },
    h(
      "p",
      {},
      clock(at, null, 8),
      " ",
      h("strong", {}, words(event)),
      h("span", { class: "hint" }, ` ${count(seq)}`),
    ),
    details.length ? h("dl", {}, details) : null,
  );
}

// --- actions, each after a confirmation

function askRelease(id) {
  ask(
    {
      title: "Release the case?",
      about: `${id} continues where it was parked. If the cause is still there, it is parked again.`,
      act: "Release",
    },
    async () => done(await api.release(id), "released"),
  );
}

function askCancel(id) {
  ask(
    {
      title: "Cancel the case?",
      about: `${id} ends. Texts that wait are not sent; SDU gets the status. This cannot be undone.`,
      act: "Cancel the case",
      reason: true,
    },
    async (reason) => done(await api.cancel(id, reason), "cancelled"),
  );
}

function askResend(id) {
  ask(
    {
      title: "Send the text again?",
      about: `The current text of ${id} is sent once more; the days to reply do not begin anew.`,
      act: "Send again",
    },
    async () => done(await api.resend(id), "sent again"),
  );
}

function askAcceptReply(id, held) {
  ask(
    {
      title: held.verdict === "agree" ? "Count the consent?" : "Count the refusal?",
      about:
        `The reply to ${id} came by ${held.link}, and the MCB says that the number is of ${held.operator}. ` +
        "Count it if the number has moved; a sender can be forged. This cannot be undone.",
      act: "Count the reply",
    },
    async () => done(await api.acceptReply(id), "reply counted"),
  );
}

function askReleaseAll(number) {
  ask(
    {
      title: `Release ${plural(number, "case")}?`,
      about:
        "All parked cases of all lists continue where they were parked. Their causes should be settled by now.",
      act: "Release all",
    },
    async () => {
      let released = 0;
      for (let after = null, more = true; more;) {
        const page = await api.parked(MAX_RELEASED, after);
        if (page.cases.length) released += (await api.releaseMany(page.cases.map((one) => one.case_id))).released;
        showMessage(`${plural(released, "case")} released…`);
        after = page.next;
        more = after !== null;
      }
      showMessage(`${plural(released, "case")} released.`);
    },
  );
}

export function askBindNow(link) {
  ask(
    {
      title: "Bind now?",
      about: `The process that holds ${link} tries within seconds, not after its pause. Operators ban hosts that try too often: settle the cause first.`,
      act: "Bind now",
    },
    async () => {
      await api.bindNow(link);
      showMessage(`${link}: an attempt to bind follows.`);
    },
  );
}

function done(shown, what) {
  if (byId("case").open) showCase(shown);
  showMessage(`${shown.case_id}: ${what}.`);
}

/** A dialog that asks for confirmation and, with `reason`, for a text for the journal. */
function ask({ title, about, act, reason = false }, carryOut) {
  const dialog = byId("confirm");
  const why =
    reason &&
    h("textarea", { id: "reason", required: true, maxlength: 500, rows: 3, "aria-describedby": "reason-hint" });
  const submit = async (event) => {
    event.preventDefault();
    dialog.close();
    await attempt(() => carryOut(why ? why.value.trim() : undefined));
    changed();
  };
  fill(
    dialog,
    h(
      "form",
      { onsubmit: submit },
      h("h2", { id: "confirm-title" }, title),
      h("p", {}, about),
      why && [
        h("label", { for: "reason" }, "Why?"),
        why,
        h("p", { id: "reason-hint", class: "hint" }, "The journal keeps it for ever: no names, no numbers."),
      ],
      h(
        "p",
        { class: "row" },
        h("button", { class: "act" }, act),
        h(
          "button",
          { type: "button", class: "quiet", autofocus: !reason, onclick: () => dialog.close() },
          "Back",
        ),
      ),
    ),
  );
  dialog.showModal();
  if (why) why.focus();
}

async function attempt(what) {
  try {
    await what();
  } catch (error) {
    if (!failed(error))
      showMessage(
        error instanceof api.ErrorResponse
          ? error.message
          : "The gateway does not respond: the result shows once it does.",
      );
  }
}

/** Shows a message at the foot of the page, for a while; inside an open dialog, which covers the page. */
export function showMessage(text) {
  clearTimeout(messageTimer);
  (document.querySelector("dialog[open]") ?? document.body).append(message);
  message.textContent = text;
  messageTimer = setTimeout(() => (message.textContent = ""), 12_000);
}
