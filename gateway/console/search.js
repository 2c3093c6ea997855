// The search: by case, by list and record, and by number or IIN where this gateway has the path for it.

import * as acts from "./acts.js";
import * as api from "./api.js";
import * as cases from "./cases.js";
import { byId, h } from "./dom.js";
import { t } from "./language.js";

const BY_PERSON = "/v1/cases/search";
const FIELDS = { case: ["case"], record: ["list", "record"], msisdn: ["person"], iin: ["person"] };

const form = byId("search");
const kind = byId("search-kind");

export function begin() {
  kind.addEventListener("change", showFields);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    acts.clearMessage();
    acts.attempt(find);
  });
  showFields();
}

/** Offers the search by number and IIN where the gateway has it: a person's number never stands in an address. */
export async function offer() {
  if (kind.options.length > 2 || !(await api.has(BY_PERSON))) return;
  kind.append(h("option", { value: "msisdn" }, t("by_msisdn")), h("option", { value: "iin" }, t("by_iin")));
}

async function find() {
  const [id, list, record, person] = ["case", "list", "record", "person"].map((name) => field(name).value.trim());
  if (kind.value === "case") cases.goTo(id.toUpperCase());
  else if (kind.value === "record") cases.showFound((await api.caseOfRecord(list, record)).cases);
  else {
    const found = await api.findCases({ [kind.value]: person });
    field("person").value = "";
    const notes = [found.mistyped && t("mistyped"), found.indexing && t("indexing")].filter(Boolean);
    cases.showFound(found.cases, notes.join(" "));
  }
}

function showFields() {
  for (const name of new Set(Object.values(FIELDS).flat())) {
    const input = field(name);
    const used = FIELDS[kind.value].includes(name);
    input.hidden = input.disabled = !used;
  }
  field("person").setAttribute("aria-label", t(kind.value === "iin" ? "by_iin" : "by_msisdn"));
}

const field = (name) => byId(`search-${name}`);
