// The answer, and what a person says would have been right.

import { $, make, say, tell } from "./elements.js";
import { asking, field, fields, unmark } from "./fields.js";
import { about } from "./model.js";
import { search } from "./search.js";
import { call } from "./service.js";

const TOP = 10; // bars
const FEW = 30; // labels that need no search
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const scores = new Intl.NumberFormat("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });

let shown; // the answer that is on the page

export function show(answer) {
  shown = answer;
  $("answer").hidden = false;
  SHOW[about.task](answer);
  correcting(false);
}

const SHOW = {
  classification(answer) {
    tell($("label"), answer.label);
    showBars(answer);
  },
  regression({ value }) {
    tell($("label"), number.format(value));
  },
  ranking({ items }) {
    tell($("label"), items.length ? items[0].title : "Nothing is left to rank.");
    $("answer").hidden = !items.length;
    $("ranking").replaceChildren(...items.map(ranked));
  },
};

/** Up to ten classes keep their places; of more, the most probable ten. */
function showBars({ label, probabilities }) {
  let names = Object.keys(probabilities);
  if (names.length > TOP) names = names.sort((a, b) => probabilities[b] - probabilities[a]).slice(0, TOP);
  else if (about.labels.length === names.length) names = about.labels;
  const list = $("bars");
  if (list.childElementCount !== names.length) list.replaceChildren(...names.map(bar));
  names.forEach((name, place) => {
    const [named, track, share] = list.children[place].children;
    tell(named, name);
    named.title = name;
    tell(share, percent.format(probabilities[name]));
    track.firstChild.style.width = `${100 * probabilities[name]}%`;
    list.children[place].classList.toggle("best", name === label);
  });
}

function bar() {
  const track = make("span", { class: "track", "aria-hidden": "true" }, make("div", { class: "bar" }));
  return make("li", {}, make("span", { class: "name" }), track, make("span", { class: "number" }));
}

function ranked({ item, title, score }) {
  const choose = make("button", { type: "button", "data-label": item, class: "choose" }, "I’d choose this");
  choose.setAttribute("aria-label", `I’d choose ${title}`);
  choose.addEventListener("click", () => feedback(item, title));
  return make("li", {}, make("span", {}, title), make("span", { class: "number quiet" }, scores.format(score)), choose);
}

/** Says what is right; `name` is what a person calls the label. */
function feedback(label, name) {
  return asking(async () => {
    unmark();
    const answer = await call("feedback", { prediction_id: shown.prediction_id, label });
    const words = {
      stored: `Stored: ${name ?? answer.label} is right. Thank you.`,
      known: `This was known already: ${name ?? answer.label}.`,
      corrected: `Corrected: ${name ?? answer.label} is right.`,
    };
    say(words[answer.status]);
    correcting(false);
  });
}

export function right() {
  if (about.task === "ranking") return feedback(shown.items[0].item, shown.items[0].title);
  return feedback(about.task === "regression" ? shown.value : shown.label);
}

/** Opens or closes what asks for the right answer. */
export function correcting(open) {
  if (open !== $("correction").hidden) return;
  const within = ["correction", "ranking"].some((id) => $(id).contains(document.activeElement));
  $("wrong").setAttribute("aria-expanded", String(open));
  $("correction").hidden = !open;
  $("ranking").classList.toggle("correcting", open);
  fields.delete("label");
  const ask = { classification: askLabel, regression: askNumber, ranking: askItem }[about.task];
  $("correction").replaceChildren(...(open ? ask() : []));
  if (within && !open) $("wrong").focus(); // what had the focus is gone
}

function askLabel() {
  if (!about.labels.length) return [asked("What would be right?", make("input", { required: true }), (text) => text)];
  const buttons = about.labels.map((label) =>
    make("button", { type: "button", "data-label": label, onclick: () => feedback(label) }, label)
  );
  const all = make("div", { class: "row labels", role: "group", "aria-label": "What would be right?" }, ...buttons);
  if (buttons.length <= FEW) return [make("p", {}, "What would be right?"), all];
  const narrow = ({ target }) => {
    const text = target.value.trim().toLowerCase();
    for (const button of buttons) button.hidden = !button.dataset.label.toLowerCase().includes(text);
  };
  return [field("label", "What would be right?", make("input", { type: "search", oninput: narrow })), all];
}

function askNumber() {
  const control = make("input", { type: "number", step: "any", required: true });
  return [asked("What would be right?", control, Number)];
}

function askItem() {
  const choose = ({ item, title }) => feedback(item, title);
  const listed = make("p", {}, "Choose in the list above, or another:");
  return [listed, search("label", "Search for another item", "Choose", choose)];
}

function asked(text, control, read) {
  const send = make("button", { class: "main" }, "Send");
  const onsubmit = (event) => {
    event.preventDefault();
    feedback(read(control.value));
  };
  return make("form", { onsubmit }, field("label", text, control), send);
}
