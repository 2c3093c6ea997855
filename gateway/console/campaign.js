// The campaign of one list or of all: its funnel, its replies by hour, the segments by minute.

import * as api from "./api.js";
import { chart } from "./chart.js";
import { byId, coloured, count, fill, h, share, table } from "./dom.js";
import { named, t } from "./language.js";

const FUNNEL = [
  "received",
  "number_found",
  "asked",
  "delivered",
  "consented",
  "refused",
  "no_answer",
  "no_number",
  "undeliverable",
  "cancelled",
  "voucher_issued",
  "voucher_rejected",
  "voucher_activated",
  "service_received",
];
const LOST = ["refused", "no_answer", "no_number", "undeliverable", "cancelled", "voucher_rejected"];
const SERIES = 6; // colours of links
const LOAD_MS = 15_000;

let loadedAt = 0;
let requested = () => {}; // called when the figures are to be loaded again

export function begin(onRequest) {
  requested = onRequest;
  for (const id of ["campaign-list", "campaign-span"])
    byId(id).addEventListener("change", () => {
      loadedAt = 0;
      requested();
    });
}

export function forget() {
  loadedAt = 0;
}

/** Loads and shows the figures, when they are old enough or others were asked for. */
export async function update({ lists }) {
  showLists(lists);
  if (Date.now() - loadedAt < LOAD_MS) return;
  loadedAt = Date.now();
  const [list, span] = [byId("campaign-list").value, byId("campaign-span").value];
  const figures = await api.figures(list, span);
  if (list !== byId("campaign-list").value || span !== byId("campaign-span").value) return;
  fill(byId("funnel"), funnel(figures));
  fill(byId("charts"), charts(figures));
}

function showLists(lists) {
  const select = byId("campaign-list");
  const shown = [...select.options].map((option) => option.value);
  if (shown.length === lists.length + 1 && lists.every(({ list_id }) => shown.includes(list_id))) return;
  const chosen = select.value;
  select.replaceChildren(
    h("option", { value: "" }, t("all_lists")),
    ...lists.map(({ list_id }) => h("option", { value: list_id }, list_id)),
  );
  select.value = lists.some(({ list_id }) => list_id === chosen) ? chosen : "";
}

function funnel({ list_id: list, stages }) {
  const row = (stage) => {
    const number = stages[stage];
    const bar = coloured(`stage-${LOST.includes(stage) ? "lost" : "kept"}`, h("span", { class: "share" }));
    bar.style.width = stages.received ? `${(100 * number) / stages.received}%` : "0";
    return [
      named("stage", stage),
      number && list && LOST.includes(stage)
        ? h("a", { href: casesAddress(list, stage), "data-key": `stage-${stage}` }, count(number))
        : count(number),
      h("div", { class: "reached" }, share(number, stages.received), h("div", { class: "track" }, bar)),
    ];
  };
  const columns = [t("stage"), `#${t("cases_column")}`, t("of_received")];
  return table(t("funnel_caption"), columns, FUNNEL.map(row));
}

/** The address of the cases of a list in a state. */
export const casesAddress = (list, state) => `#${new URLSearchParams({ list, state })}`;

function charts({ replies, segments }) {
  const step = t(segments.step_seconds === 60 ? "step_minute" : "step_hour");
  return [
    chart(t("replies_chart"), replies, {
      name: (verdict) => named("verdict", verdict),
      colour: (verdict) => `verdict-${verdict}`,
      key: "replies",
    }),
    chart(t("segments_chart", { step }), segments, {
      name: (link) => link,
      colour: (_, place) => `series-${place % SERIES}`,
      key: "segments",
    }),
  ];
}
