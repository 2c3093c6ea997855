// Creates elements, and formats numbers and instants. Data of the server become text, never markup.

import { language, t } from "./language.js";

const SVG = "http://www.w3.org/2000/svg";
const numbers = new Intl.NumberFormat(language);

export const byId = (id) => document.getElementById(id);

/** An element: h("td", { class: "number" }, "7"). Functions are event listeners (onclick), true is an empty attribute. */
export function h(tag, attributes = {}, ...children) {
  return apply(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return apply(document.createElementNS(SVG, tag), attributes, children);
}

function apply(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...shown(children));
  return element;
}

const shown = (children) => children.flat(Infinity).filter((child) => child != null && child !== false);

/** Replaces the children. What had the focus gets it back and what was open stays open, identified by data-key. */
export function fill(parent, ...children) {
  const key = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const open = new Set([...parent.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  parent.replaceChildren(...shown(children));
  for (const one of parent.querySelectorAll("details")) one.open = open.has(one.dataset.key);
  if (key) [...parent.querySelectorAll("[data-key]")].find((element) => element.dataset.key === key)?.focus();
}

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
export const words = (name) => name.replaceAll("_", " ");
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
