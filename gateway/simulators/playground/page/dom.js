// How the page writes instants, and the elements that it shares with other pages.

import { h } from "./elements.js";

export { byId, fill, h, svg, words } from "./elements.js";

const days = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });

/** Tue, 1 Dec 09:14 of an instant as it was written: local time of the gateway, whatever the browser's is. */
export function moment(iso) {
  if (!iso) return "";
  return `${days.format(new Date(`${iso.slice(0, 10)}T00:00Z`))} ${iso.slice(11, 16)}`;
}

export const time = (iso) => h("time", { datetime: iso }, moment(iso));
