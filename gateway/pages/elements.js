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

export const words = (name) => name.replaceAll("_", " ");
