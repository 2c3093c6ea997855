// Sends what the visitor does. The key comes in the address's fragment and is exchanged for a cookie.

import { knows, t } from "./language.js";

let rejected = () => {};

/** `show` is called with why something could not be done, or with null when the next thing could. */
export function onRejected(show) {
  rejected = show;
}

/** Takes the key out of the address, where there is one, and exchanges it. */
export async function logIn() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!key) return;
  history.replaceState(null, "", location.pathname);
  await post("session", { key });
}

/** Does an act; its result, or null when it was rejected, which is shown. */
export async function act(name, details = {}) {
  try {
    const result = await post("acts", { act: name, ...details });
    rejected(null);
    return result;
  } catch (error) {
    rejected(error.message);
    return null;
  }
}

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    redirect: "error",
  }).catch(() => {
    throw new Error(t("no_response"));
  });
  const content = response.status === 204 ? null : await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(sentence(response.status, content));
  return content;
}

/** Why the server rejected a request, in the language of the page. */
function sentence(status, { code, fields }) {
  if (status === 401) return t("key_needed");
  return knows("rejected", code) ? t(`rejected_${code}`, fields) : t("rejected", { status });
}
