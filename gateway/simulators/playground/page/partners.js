// SDU with the statuses it was told, the report for NEDB, and the switches that break and repair the partners.

import { act } from "./api.js";
import { byId, fill, h, moment, time, words } from "./dom.js";

const NAMES = { mcb: "MCB", wallet: "Wallet", sdu: "SDU" };
const COLUMNS = ["activated", "meals", "service_received", "no_number"];

export function begin() {
  byId("push").addEventListener("submit", (event) => {
    event.preventDefault();
    act("push", { language: byId("language").value });
  });
}

export function showPush(offered) {
  byId("push").hidden = !offered;
}

export function showStatuses(statuses) {
  fill(
    byId("statuses"),
    statuses.map(({ at, record_id, list_id, status, detail }) =>
      h(
        "tr",
        {},
        h("td", {}, time(at)),
        h("td", { title: `list ${list_id}` }, record_id),
        h("td", {}, words(status), h("span", { class: "hint" }, about(detail))),
      ),
    ),
  );
}

/** The details that say something by themselves. */
function about(detail) {
  const { relation, checked, voucher_id, reason, text } = detail;
  const said = relation ?? checked?.join(", ") ?? voucher_id ?? reason ?? text;
  return said ? ` ${said}` : "";
}

export function showReport(rows) {
  fill(
    byId("report"),
    rows.length
      ? rows.map((row) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, moment(`${row.date}T`)),
            COLUMNS.map((column) => h("td", { class: "number" }, String(row[column]))),
          ),
        )
      : h("tr", {}, h("td", { colspan: "5", class: "hint" }, "Nothing to report yet.")),
  );
}

export function showSwitches(switches) {
  fill(
    byId("switch-list"),
    Object.entries(switches).map(([partner, works]) => {
      const name = NAMES[partner] ?? `Operator ${partner}`;
      const turn = () => act(works ? "break" : "repair", { partner });
      return h(
        "li",
        {},
        h(
          "button",
          { type: "button", role: "switch", "data-key": partner, "aria-checked": String(works), onclick: turn },
          name,
        ),
        h("span", { class: works ? "good" : "bad" }, works ? "works" : "broken"),
      );
    }),
  );
}
