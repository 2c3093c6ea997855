// What ops do to cases and links: each act after a confirmation, each with its result as a message.

import * as api from "./api.js";
import { byId, count, fill, h } from "./dom.js";
import { t } from "./language.js";

const MAX_RELEASED = 500; // by one request

const message = byId("message");

let messageTimer; // removes the message
let changed = () => {}; // called after an act
let failed = () => {}; // called with the error of a request; true: it was dealt with
let shown = () => {}; // called with the case after an act on it

export function begin(onChange, onFailure, onCase) {
  changed = onChange;
  failed = onFailure;
  shown = onCase;
}

export function askRelease(id) {
  ask({ title: t("ask_release"), about: t("about_release", { case: id }), act: t("do_release") }, async () =>
    done(await api.release(id), "done_released"),
  );
}

export function askCancel(id) {
  ask(
    {
      title: t("ask_cancel"),
      about: t("about_cancel", { case: id }),
      act: t("do_cancel"),
      reason: true,
      dangerous: true,
    },
    async (reason) => done(await api.cancel(id, reason), "done_cancelled"),
  );
}

export function askResend(id) {
  ask({ title: t("ask_resend"), about: t("about_resend", { case: id }), act: t("do_resend") }, async () =>
    done(await api.resend(id), "done_resent"),
  );
}

export function askAcceptReply(id, held) {
  ask(
    {
      title: t(held.verdict === "agree" ? "ask_count_agree" : "ask_count_refuse"),
      about: t("about_count", { case: id, link: held.link, operator: held.operator }),
      act: t("do_count"),
    },
    async () => done(await api.acceptReply(id), "done_counted"),
  );
}

export function askReleaseAll(number) {
  ask(
    {
      title: t("ask_release_all", { count: count(number) }),
      about: t("about_release_all"),
      act: t("do_release_all"),
    },
    async () => {
      let released = 0;
      for (let after = null, more = true; more;) {
        const page = await api.parked(MAX_RELEASED, after);
        if (page.cases.length) released += (await api.releaseMany(page.cases.map((one) => one.case_id))).released;
        showMessage(t("done_released_all", { count: count(released) }));
        after = page.next;
        more = after !== null;
      }
    },
  );
}

export function askBindNow(link) {
  ask({ title: t("ask_bind"), about: t("about_bind", { link }), act: t("do_bind") }, async () => {
    await api.bindNow(link);
    showMessage(t("done_bind", { link }));
  });
}

function done(result, key) {
  if (byId("case").open) shown(result);
  showMessage(t(key, { case: result.case_id }));
}

/** A dialog that asks for confirmation and, with `reason`, for a text for the journal. */
function ask({ title, about, act, reason = false, dangerous = false }, carryOut) {
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
  const back = { type: "button", class: "quiet", autofocus: !reason, onclick: () => dialog.close() };
  fill(
    dialog,
    h(
      "form",
      { onsubmit: submit },
      h("h2", { id: "confirm-title" }, title),
      h("p", {}, about),
      why && [
        h("label", { for: "reason" }, t("why")),
        why,
        h("p", { id: "reason-hint", class: "hint" }, t("why_hint")),
      ],
      h(
        "p",
        { class: "row" },
        h("button", { class: dangerous ? "act danger" : "act" }, act),
        h("button", back, t("back")),
      ),
    ),
  );
  dialog.showModal();
  if (why) why.focus();
}

/** Does something with the API; what went wrong is a message. */
export async function attempt(what) {
  try {
    await what();
  } catch (error) {
    if (!failed(error)) showMessage(error instanceof api.ErrorResponse ? error.message : t("act_unanswered"));
  }
}

/** Shows a message at the foot of the page, for a while; inside an open dialog, which covers the page. */
export function showMessage(text) {
  clearTimeout(messageTimer);
  const dialogs = document.querySelectorAll("dialog[open]");
  (dialogs.length ? dialogs[dialogs.length - 1] : document.body).append(message);
  message.textContent = text;
  messageTimer = setTimeout(clearMessage, 12_000);
}

/** Removes the message: what it said is over. */
export function clearMessage() {
  clearTimeout(messageTimer);
  message.textContent = "";
}

/** Puts the message where it is seen without the dialog. */
export function leaveDialog() {
  document.body.append(message);
}
