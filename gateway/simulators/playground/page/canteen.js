// The canteen: reads a code, typed or from the wallet's screen, or a pupil's card, and says whether there is a meal.

import { act } from "./api.js";
import { byId, fill, h, time } from "./dom.js";
import { named, t } from "./language.js";

export function begin(codeOfWallet) {
  byId("read").addEventListener("submit", (event) => {
    event.preventDefault();
    read(byId("code").value);
  });
  byId("pick-up").addEventListener("click", () => {
    byId("code").value = codeOfWallet() ?? "";
    if (byId("code").value) read(byId("code").value);
  });
  byId("read-card").addEventListener("submit", async (event) => {
    event.preventDefault();
    showVerdict(await act("read-card", { voucher: byId("card").value }));
  });
}

async function read(code) {
  const reading = await act("read", { code });
  showVerdict(reading);
  if (reading?.served) byId("code").value = "";
}

function showVerdict(reading) {
  const place = byId("verdict");
  place.textContent = reading ? said(reading) : "";
  place.className = reading?.served ? "good" : "bad";
}

const said = ({ verdict, means, pupil }) =>
  [named("verdict", verdict), ...(pupil ? [`: ${pupil} (${named("means", means)})`] : []), "."].join("");

/** Offers the cards of these pupils; each has `id` and `pupil`. */
export function showCards(cards) {
  const select = byId("card");
  const ids = cards.map(({ id }) => id).join(" ");
  byId("read-card").hidden = !cards.length;
  if (select.dataset.ids === ids) return; // an open list stays open
  const chosen = select.value;
  fill(
    select,
    cards.map(({ id, pupil }) => h("option", { value: id }, `${pupil}, ${id}`)),
  );
  select.dataset.ids = ids;
  if (cards.some(({ id }) => id === chosen)) select.value = chosen;
}

export function show({ known, pupils, readings }) {
  fill(
    byId("readings"),
    readings.length
      ? readings.map((reading) => h("li", {}, reading.at && time(reading.at), ` ${said(reading)}`))
      : h("li", { class: "hint" }, t("readings_none")),
  );
  const names = [...pupils, ...(known > pupils.length ? ["…"] : [])].join(", ");
  byId("pupils").textContent = known ? t("pupils", { count: known, names }) : t("pupils_none");
}
