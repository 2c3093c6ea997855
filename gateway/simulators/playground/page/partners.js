// SDU with the statuses it was told, the report for NEDB, and the switches that break and repair the partners.

import { act } from "./api.js";
import { byId, day, fill, h, time } from "./dom.js";
import { knows, named, t } from "./language.js";

const COLUMNS = ["activated", "meals", "service_received", "no_number"];

export function begin() {
  byId("push").addEventListener("submit", (event) => {
    event.preventDefault();
    act("push", { language: byId("push-language").value });
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
        h("td", { title: t("of_list", { list: list_id }) }, record_id),
        h("td", {}, named("status", status), h("span", { class: "hint" }, about(detail))),
      ),
    ),
  );
}

/** The details that say something by themselves. */
function about(detail) {
  const { relation, checked, voucher_id, reason, text } = detail;
  const relations = (checked ?? (relation ? [relation] : [])).map((one) => named("relation", one)).join(", ");
  const said = relations || (voucher_id ?? reason ?? (text && named("text", text)));
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
            h("th", { scope: "row" }, day(row.date)),
            COLUMNS.map((column) => h("td", { class: "number" }, String(row[column]))),
          ),
        )
      : h("tr", {}, h("td", { colspan: "5", class: "hint" }, t("report_none"))),
  );
}

export function showSwitches(switches) {
  fill(
    byId("switch-list"),
    Object.entries(switches).map(([partner, works]) => {
      const name = knows("partner", partner) ? named("partner", partner) : t("operator", { name: partner });
      const turn = () => act(works ? "break" : "repair", { partner });
      return h(
        "li",
        {},
        h(
          "button",
          { type: "button", role: "switch", "data-key": partner, "aria-checked": String(works), onclick: turn },
          name,
        ),
        h("span", { class: works ? "good" : "bad" }, t(works ? "works" : "broken")),
      );
    }),
  );
}
