// Items that are found by their titles.

import { make, tell } from "./elements.js";
import { asking, field } from "./fields.js";
import { call } from "./service.js";

const PAUSE = 200; // milliseconds without a key before titles are searched
const FOUND = 20; // titles that /items gives at most

/** An item's title, which /items finds by the id as well. */
export async function titled(item) {
  const found = await call(`items?query=${encodeURIComponent(item)}`);
  return found.find((one) => one.item === item) ?? { item, title: item };
}

/** A field that searches the items; `choose` gets the one whose button, with the word `verb`, is pressed. */
export function search(name, text, verb, choose) {
  const list = make("ul", { class: "items found", "aria-label": "Found" });
  const found = make("p", { class: "hint", role: "status" });
  let timer;
  const look = (control) =>
    asking(async () => {
      const query = control.value.trim();
      const items = query ? await call(`items?query=${encodeURIComponent(query)}`) : [];
      if (query !== control.value.trim()) return; // an older question was answered late
      const more = items.length === FOUND ? ", the first; type more" : "";
      tell(found, query ? `${items.length || "Nothing"} found${more}` : "");
      list.replaceChildren(...items.map(line));
    });
  const line = (entry) => {
    const label = { type: "button", "aria-label": `${verb} ${entry.title}`, "data-label": entry.item };
    const button = make("button", { ...label, onclick: () => choose(entry) }, verb);
    return make("li", {}, make("span", {}, entry.title), button);
  };
  const control = make("input", { type: "search", id: `search-${name}`, autocomplete: "off" });
  control.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE, control);
  });
  control.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    list.querySelector("button")?.click();
  });
  return field(name, text, control, found, list);
}
