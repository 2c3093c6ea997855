// The language of a page with its words.js: the one that was chosen in this tab, else the browser's, else English.

import { WORDS } from "./words.js";

export const LANGUAGES = { en: "English", kk: "Қазақша", ru: "Русский" };

const CHOSEN = "gateway-language";
const codes = Object.keys(LANGUAGES);
const wanted = [sessionStorage.getItem(CHOSEN), ...navigator.languages.map((tag) => tag.slice(0, 2))];

export const language = wanted.find((code) => codes.includes(code)) ?? "en";

const index = codes.indexOf(language);

/** Shows the page in another language from now on. */
export function choose(code) {
  sessionStorage.setItem(CHOSEN, code);
  location.reload();
}

/** The words of a key, with {name} filled in by text. */
export const t = (key, values = {}) => phrase(key, values).join("");

/** The same as a list of texts and elements, where values are elements. */
export function phrase(key, values = {}) {
  const parts = WORDS[key][index].split(/\{(\w+)\}/);
  return parts.map((part, i) => (i % 2 ? values[part] : part)).filter((part) => part !== "");
}

/** Whether the page has words for a name of the server. */
export const knows = (kind, name) => Object.hasOwn(WORDS, `${kind}_${name}`);

/** The words of a name of the server, such as a state; the name itself where the page does not know it. */
export const named = (kind, name) =>
  knows(kind, name) ? t(`${kind}_${name}`) : name.replaceAll("_", " ");

/** Fills the texts of the page: data-t is the key of an element's content, data-t-label of its aria-label. */
export function translate() {
  document.documentElement.lang = language;
  document.title = t("title");
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll("[data-t-label]"))
    element.setAttribute("aria-label", t(element.dataset.tLabel));
}
