// Creates elements. Whatever comes from elsewhere becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

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

const days = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });

/** Tue, 1 Dec 09:14 of an instant as it was written: local time of the gateway, whatever the browser's is. */
export function moment(iso) {
  if (!iso) return "";
  return `${days.format(new Date(`${iso.slice(0, 10)}T00:00Z`))} ${iso.slice(11, 16)}`;
}

export const time = (iso) => h("time", { datetime: iso }, moment(iso));
export const words = (name) => name.replaceAll("_", " ");
