// The controls by the names that the API gives them, and what is wrong with them.

import { make, say } from "./elements.js";
import { askToken, Refused } from "./service.js";

export const fields = new Map(); // the field's name in the API → {control, error}

/** A labelled control, with what stands around it; `name` is what the API calls it. */
export function field(name, text, control, ...more) {
  const framed = control.parentElement ?? control;
  const id = `field-${fields.size}`;
  control.id ||= id;
  const error = make("p", { class: "error", id: `${id}-error` });
  control.setAttribute("aria-describedby", error.id);
  fields.set(name, { control, error });
  return make("div", { class: "field" }, make("label", { for: control.id }, text), framed, ...more, error);
}

/** Shows a problem beside its field; false where the page has no such field. */
export function mark({ field: name, message }) {
  const holders = [...fields.keys()].filter((known) => name === known || name.startsWith(`${known}.`));
  if (!holders.length) return false;
  const longest = holders.reduce((one, other) => (other.length > one.length ? other : one)); // a.b, and not a
  const { control, error } = fields.get(longest);
  control.setAttribute("aria-invalid", "true");
  error.textContent = [error.textContent, message].filter(Boolean).join("\n");
  return true;
}

export function unmark() {
  for (const { control, error } of fields.values()) {
    control.removeAttribute("aria-invalid");
    error.textContent = "";
  }
}

/** Does something with the service; what it refuses stands beside the field that it names, or in the status. */
export async function asking(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401 && !askToken()) return; // to be asked for it is no fault
    const other = error.problems.filter((problem) => !mark(problem));
    say(other.map(({ field, message }) => (field ? `${field}: ${message}` : message)).join("\n"), true);
  }
}
