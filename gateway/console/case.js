// One case: what is known of it, what ops may do, its messages on request, its timeline.

import * as acts from "./acts.js";
import * as api from "./api.js";
import { badge, byId, clock, count, fill, h, hint, words } from "./dom.js";
import { named, t } from "./language.js";

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

/** Shows the case in its dialog. */
export function showCase(shown) {
  const { case_id: id, state, recipient, held, journal } = shown;
  const dialog = byId("case");
  const facts = [
    [t("list"), shown.list_id],
    [t("record"), shown.record_id],
    [t("service"), shown.service],
    [t("opened"), clock(shown.opened_at)],
    [t("case_ended"), shown.ended_at ? clock(shown.ended_at) : t("not_yet")],
    [t("recipient"), recipient ? `${named("relation", recipient.relation)}, ${recipient.msisdn}` : t("unknown")],
    ...(held ? [[t("held_reply"), t(`held_${held.verdict}`, held)]] : []),
  ];
  const messages = h("div", {});
  fill(
    dialog,
    h(
      "h2",
      { id: "case-title" },
      h("span", { class: "id" }, id),
      " ",
      badge(state === "parked" ? "warning" : "plain", named("state", state)),
    ),
    h(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    ),
    h(
      "p",
      { class: "row" },
      state === "parked" && button("release", () => acts.askRelease(id)),
      held && button("count_reply", () => acts.askAcceptReply(id, held)),
      HAS_TEXT.includes(state) && button("resend", () => acts.askResend(id)),
      OPEN.includes(state) && button("cancel", () => acts.askCancel(id), "danger"),
      button("close", () => dialog.close(), "quiet"),
    ),
    h("h3", {}, t("messages")),
    messages,
    h("h3", {}, t("timeline")),
    h("ol", { class: "journal" }, journal.map(entry)),
  );
  offerMessages(messages, id);
  if (!dialog.open) dialog.showModal();
}

const button = (key, onclick, style = null) => h("button", { type: "button", class: style, onclick }, t(key));

function entry({ seq, at, event, detail }) {
  const value = (one) =>
    Array.isArray(one) ? one.join(", ") : typeof one === "object" ? JSON.stringify(one) : String(one);
  const details = Object.entries(detail).map(([name, one]) =>
    h("div", {}, h("dt", {}, words(name)), h("dd", {}, value(one))),
  );
  return h(
    "li",
    { class: FAULTS.has(event) ? "fault" : null },
    h("p", {}, clock(at, null, 8), " ", h("strong", {}, named("event", event)), hint(` ${count(seq)}`)),
    details.length ? h("dl", {}, details) : null,
  );
}

// --- messages

/** A button that loads them: they are in clear, so nobody gets them unasked. */
function offerMessages(place, id) {
  const show = () => acts.attempt(async () => fill(place, conversation((await api.messagesOf(id)).messages)));
  fill(place, h("p", { class: "row" }, button("show_messages", show), hint(t("messages_hint"))));
}

function conversation(messages) {
  if (!messages.length) return h("p", {}, t("messages_none"));
  const telephone = h("ol", { class: "telephone" }, messages.map(bubble));
  const box = h("input", {
    type: "checkbox",
    id: "segments",
    onchange: ({ target }) => telephone.classList.toggle("cut", target.checked),
  });
  return [h("p", { class: "row" }, box, h("label", { for: "segments" }, t("show_segments"))), telephone];
}

function bubble(message) {
  const { direction, link, segments, text } = message;
  const sent = direction === "sent";
  const about = sent
    ? t("message_sent", { kind: named("kind", message.kind), state: named("text", message.state), link })
    : t("message_received", { link, verdict: named("verdict", message.verdict) });
  const at = sent ? (message.accepted_at ?? message.queued_at) : message.received_at;
  const parts = sent ? segments : text === null ? null : [text];
  return h(
    "li",
    { class: direction },
    h("p", { class: "hint" }, clock(at, null, 8), ` ${about}`),
    h("p", { class: "said" }, parts === null ? h("em", {}, t("message_erased")) : parts.map(segment)),
  );
}

const segment = (text, place, all) =>
  h("span", { class: "segment", title: t("segment_of", { number: place + 1, total: all.length }) }, text);
