// The elements of the console, and how it writes numbers and instants.

import { h } from "./elements.js";
import { language, t } from "./language.js";

export { byId, fill, h, svg, words } from "./elements.js";

const numbers = new Intl.NumberFormat(language);

/** A table. Columns whose heading begins with "#" hold numbers. */
export function table(caption, columns, rows) {
  const names = columns.map((column) => column.replace("#", ""));
  const style = (i) => (columns[i].startsWith("#") ? "number" : null);
  const cells = (row) =>
    row.map((cell, i) =>
      i
        ? h("td", { class: style(i), "data-label": names[i] }, h("div", {}, cell))
        : h("th", { scope: "row" }, cell),
    );
  const headings = names.map((name, i) => h("th", { class: style(i), scope: "col" }, name));
  return h(
    "table",
    {},
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, headings)),
    h(
      "tbody",
      {},
      rows.map((row) => h("tr", {}, cells(row))),
    ),
  );
}

export const count = (number) => numbers.format(number);
export const badge = (level, text) => h("span", { class: `badge ${level}` }, text);
export const hint = (...content) => h("span", { class: "hint" }, content);
export const swatch = (colour) => coloured(colour, h("span", { class: "swatch", "aria-hidden": "true" }));
export const share = (part, whole) => (whole ? `${Math.floor((100 * part) / whole)} %` : "–");

/** The element with the colour of a state, a verdict or a series. */
export function coloured(colour, element) {
  element.style.setProperty("--colour", `var(--${colour})`);
  return element;
}

/** 03:12, with the date when it is not that of `now`. Both are local times of the gateway, as it wrote them. */
export function clock(iso, now, length = 5) {
  const time = iso.slice(11, 11 + length);
  return h(
    "time",
    { datetime: iso, title: iso },
    now && iso.slice(0, 10) === now.slice(0, 10) ? time : `${iso.slice(0, 10)} ${time}`,
  );
}

/** A length of time in one number and its unit. */
export function span(seconds) {
  for (const [unit, length] of [
    ["days", 86_400],
    ["hours", 3600],
    ["minutes", 60],
  ]) {
    if (seconds >= 2 * length) return `${Math.round(seconds / length)} ${t(unit)}`;
  }
  return seconds >= 0.5 ? `${Math.round(seconds)} ${t("seconds")}` : t("no_time");
}

export function hours(number) {
  if (number >= 48) return `${(number / 24).toFixed(1)} ${t("days")}`;
  return number >= 1 ? `${number.toFixed(1)} ${t("hours")}` : span(number * 3600);
}
