// A chart of stored figures: a bar for each step, stacked by series; its totals as text, and all of it as a table.

import { clock, coloured, count, h, hint, svg, swatch, table } from "./dom.js";
import { t } from "./language.js";

const HEIGHT = 40;

/** The chart. `name` gives the words of a series, `colour` the name of its colour by its place. */
export function chart(title, { begin, step_seconds: step, steps, series }, { name, colour, key }) {
  const sums = Array.from({ length: steps }, (_, i) => series.reduce((sum, one) => sum + one.numbers[i], 0));
  const peak = Math.max(...sums);
  if (!series.length) return h("figure", {}, h("figcaption", {}, h("strong", {}, title), " ", hint(t("chart_empty"))));
  const at = (place) => later(begin, place * step);
  const total = sums.reduce((sum, one) => sum + one, 0);
  const summary = t("chart_summary", {
    total: count(total),
    peak: count(peak),
    at: at(sums.indexOf(peak)).slice(0, 16).replace("T", " "),
  });
  return h(
    "figure",
    {},
    h("figcaption", {}, h("strong", {}, title), " ", hint(summary)),
    svg(
      "svg",
      { viewBox: `0 0 ${steps} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${summary}` },
      bars(series, steps, peak, colour),
    ),
    h("div", { class: "axis hint", "aria-hidden": "true" }, clock(at(0)), clock(at(steps - 1))),
    h(
      "ul",
      { class: "legend" },
      series.map((one, i) =>
        h("li", {}, swatch(colour(one.name, i)), `${name(one.name)} `, h("b", {}, count(sumOf(one.numbers)))),
      ),
    ),
    asTable(title, { series, steps, at, name, key }),
  );
}

/** The rectangles: none for a step without a number. */
function bars(series, steps, peak, colour) {
  const heights = new Array(steps).fill(0);
  return series.flatMap((one, place) =>
    one.numbers.flatMap((number, i) => {
      if (!number) return [];
      const height = (number / peak) * HEIGHT;
      heights[i] += height;
      const shape = { x: i, y: (HEIGHT - heights[i]).toFixed(2), width: 1, height: height.toFixed(2) };
      return [coloured(colour(one.name, place), svg("rect", shape))];
    }),
  );
}

/** The same numbers as a table, made when it is opened; steps without a number are left out. */
function asTable(title, { series, steps, at, name, key }) {
  const rows = () =>
    Array.from({ length: steps }, (_, i) => i)
      .filter((i) => series.some((one) => one.numbers[i]))
      .map((i) => [clock(at(i)), ...series.map((one) => count(one.numbers[i]))]);
  const place = h("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": title });
  const show = ({ currentTarget }) => {
    if (!currentTarget.open) return;
    const columns = [t("time_column"), ...series.map((one) => `#${name(one.name)}`)];
    place.replaceChildren(table(title, columns, rows()));
  };
  return h("details", { ontoggle: show, "data-key": key }, h("summary", {}, t("as_table")), place);
}

const sumOf = (numbers) => numbers.reduce((sum, one) => sum + one, 0);

/** The instant so many seconds later, in the same zone, as the gateway writes it. */
function later(iso, seconds) {
  const zone = /(?:Z|[+-]\d\d:\d\d)$/.exec(iso)[0];
  const local = new Date(Date.parse(`${iso.slice(0, 19)}Z`) + seconds * 1000);
  return local.toISOString().slice(0, 19) + zone;
}
