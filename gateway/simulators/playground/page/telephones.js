// The telephones: a list, and the one that is chosen with its messages, its replies and its USSD dialogue.

import { act } from "./api.js";
import { byId, fill, h, time } from "./dom.js";
import { language, t } from "./language.js";

const states = new Map(); // by number
let numbers = [];
let chosen = null;
let onChosen = () => {};

/** `listen` is called with the number of the telephone that is shown. */
export function begin(listen) {
  onChosen = listen;
  byId("compose").addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = byId("text");
    const text = input.value;
    input.value = "";
    if ((await act("send", { number: chosen, text })) === null && !input.value) input.value = text;
  });
  for (const button of byId("compose").querySelectorAll("[data-text]"))
    button.addEventListener("click", () => act("send", { number: chosen, text: button.dataset.text }));
  byId("dial").addEventListener("click", () => act("dial", { number: chosen, code: "*1414*3#" }));
  byId("screen").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = byId("typed").value;
    byId("typed").value = "";
    act("type", { number: chosen, text });
  });
  byId("hang-up").addEventListener("click", () => act("hang-up", { number: chosen }));
}

export function showOne(number, state) {
  const before = states.get(number);
  states.set(number, state);
  const last = state.messages.at(-1);
  if (before && last && !last.mine && state.messages.length > before.messages.length)
    byId("news").textContent = t("message_arrived", { owner: owner(state) });
  if (numbers.includes(number)) showNumbers();
  if (number === chosen) showChosen();
}

export function showList(list) {
  numbers = list;
  if (!numbers.includes(chosen)) chosen = numbers[0] ?? null;
  showNumbers();
  showChosen();
}

function showNumbers() {
  fill(
    byId("telephone-list"),
    numbers.map((number) => {
      const state = states.get(number);
      const last = state.messages.at(-1);
      const choose = () => {
        chosen = number;
        showNumbers();
        showChosen();
      };
      return h(
        "li",
        {},
        h(
          "button",
          { type: "button", "data-key": number, "aria-pressed": String(number === chosen), onclick: choose },
          h("span", {}, owner(state)),
          h("span", { class: "hint" }, `+${number}, ${state.operator}`),
          last && h("span", { class: "preview", "aria-hidden": "true" }, last.text),
        ),
      );
    }),
  );
}

const owner = (state) => state.name || `+${state.number}`;

function showChosen() {
  const state = states.get(chosen);
  byId("telephone").hidden = !state;
  if (!state) return;
  onChosen(chosen);
  byId("telephone-title").textContent = owner(state);
  const list = byId("messages");
  const count = list.childElementCount;
  fill(list, state.messages.length ? state.messages.map(message) : h("li", { class: "hint" }, t("messages_none")));
  if (list.childElementCount !== count || list.dataset.number !== chosen) list.scrollTop = list.lastElementChild.offsetTop - list.offsetTop;
  list.dataset.number = chosen;
  const { dialogue } = state;
  byId("screen").hidden = !dialogue;
  byId("screen-reply").hidden = !dialogue?.open;
  const text = byId("screen-text");
  const screen = dialogue?.screen || t("dialled");
  if (text.textContent !== screen) text.textContent = screen;
  text.lang = dialogue?.language ?? language;
}

function message({ mine, text, at, segments, language, failed }) {
  const counted = segments > 1 ? t("segments", { count: segments }) : "";
  const note = failed ? t("message_failed") : mine ? t("message_sent") : counted;
  return h(
    "li",
    { class: mine ? "mine" : "theirs" },
    h("p", { lang: language, class: "text" }, text),
    h("p", { class: "hint" }, at && time(at), note && ` ${note}`),
  );
}
