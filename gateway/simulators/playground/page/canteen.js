// The canteen: reads a code, typed or from the wallet's screen, and says whether there is a meal.

import { act } from "./api.js";
import { byId, fill, h, time } from "./dom.js";

const SAID = {
  served: "Meal served",
  unknown: "Refused: there is no such code",
  expired: "Refused: the code has expired",
  used: "Refused: the code was used already",
};

export function begin(codeOfWallet) {
  byId("read").addEventListener("submit", (event) => {
    event.preventDefault();
    read(byId("code").value);
  });
  byId("pick-up").addEventListener("click", () => {
    byId("code").value = codeOfWallet() ?? "";
    if (byId("code").value) read(byId("code").value);
  });
}

async function read(code) {
  const reading = await act("read", { code });
  const place = byId("verdict");
  place.textContent = reading ? said(reading) : "";
  place.className = reading?.served ? "good" : "bad";
  if (reading?.served) byId("code").value = "";
}

const said = ({ verdict, pupil }) => `${SAID[verdict]}${pupil ? `: ${pupil}` : ""}.`;

export function show({ known, pupils, readings }) {
  fill(
    byId("readings"),
    readings.length
      ? readings.map((reading) => h("li", {}, reading.at && time(reading.at), ` ${said(reading)}`))
      : h("li", { class: "hint" }, "Nothing yet."),
  );
  const names = pupils.join(", ");
  byId("pupils").textContent = known
    ? `The wallet has told the canteen of ${known} pupil${known === 1 ? "" : "s"}: ${names}${known > pupils.length ? ", …" : ""}.`
    : "The wallet tells the canteen of a pupil when the voucher is activated.";
}
