// Creates elements, and formats numbers and instants. Data of the server become text, never markup.

const SVG = "http://www.w3.org/2000/svg";
const numbers = new Intl.NumberFormat("en");

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
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** Replaces the children. The element with the focus gets it back, identified by data-key. */
export function fill(parent, ...children) {
  const key = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  parent.replaceChildren(...children.flat().filter((child) => child != null && child !== false));
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
  return h(
    "table",
    {},
    h("caption", {}, caption),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        names.map((name, i) => h("th", { class: style(i), scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) => h("tr", {}, cells(row))),
    ),
  );
}

export const count = (number) => numbers.format(number);
export const plural = (number, thing) => `${count(number)} ${thing}${number === 1 ? "" : "s"}`;
export const words = (name) => name.replaceAll("_", " ");

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
    ["h", 3600],
    ["min", 60],
  ]) {
    if (seconds >= 2 * length) return `${Math.round(seconds / length)} ${unit}`;
  }
  return `${Math.round(seconds)} s`;
}

export function hours(number) {
  if (number >= 48) return `${(number / 24).toFixed(1)} days`;
  return number >= 1 ? `${number.toFixed(1)} h` : span(number * 3600);
}
