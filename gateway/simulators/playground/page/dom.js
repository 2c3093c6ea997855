// How the page writes instants, and the elements that it shares with other pages.

import { h } from "./elements.js";
import { t } from "./language.js";

export { byId, fill, h, svg } from "./elements.js";

const weekdays = t("weekdays").split(" ");
const months = t("months").split(" ");

function parts(iso) {
  const date = new Date(`${iso.slice(0, 10)}T00:00Z`);
  const [weekday, month] = [weekdays[date.getUTCDay()], months[date.getUTCMonth()]];
  return { weekday, day: String(date.getUTCDate()), month, time: iso.slice(11, 16) };
}

/** Tue, 1 Dec 09:14 of an instant as it was written: local time of the gateway, whatever the browser's is. */
export const moment = (iso) => (iso ? t("moment", parts(iso)) : "");

/** Tue, 1 Dec of a date. */
export const day = (iso) => t("day_of", parts(iso));

export const time = (iso) => h("time", { datetime: iso }, moment(iso));
