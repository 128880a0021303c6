// What a person fills in, by the name that the kind of the model gives: {record(), show(record), clear(), perhaps
// preview(…)}.

import { $, make } from "./elements.js";
import { field, mark } from "./fields.js";
import { about } from "./model.js";
import { pictureInput } from "./pictures.js";
import { changed, predict } from "./predicting.js";
import { search, titled } from "./search.js";

const FEW = 30; // values of a category that a list to select from can hold

export const INPUTS = {
  picture: pictureInput,
  text: textInput,
  history: historyInput,
  table: tableInput,
  json: jsonInput,
};

function jsonInput() {
  const area = make("textarea", { oninput: changed, onkeydown: submitByControlEnter });
  $("fields").replaceChildren(field("", "Record, as JSON", area));
  const show = (record) => (area.value = JSON.stringify(record, null, 2));
  if (about.examples.length) show(about.examples[0]);
  return {
    record() {
      try {
        return JSON.parse(area.value);
      } catch (error) {
        mark({ field: "", message: `This is no JSON: ${error.message}.` });
        return null;
      }
    },
    show,
    clear: () => (area.value = ""),
  };
}

function textInput() {
  const area = make("textarea", { oninput: changed, onkeydown: submitByControlEnter });
  $("fields").replaceChildren(field("text", "Text", area));
  return {
    record: () => ({ text: area.value }),
    show: ({ text }) => (area.value = text),
    clear: () => (area.value = ""),
    preview: (button, { text }) => (button.textContent = text),
  };
}

function submitByControlEnter(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) predict();
}

function tableInput() {
  const controls = about.columns.map(columnControl);
  const labelled = about.columns.map(({ name }, place) => field(name, name, controls[place]));
  $("fields").replaceChildren(make("div", { class: "columns" }, ...labelled));
  const set = (record) => about.columns.forEach(({ name }, place) => setCell(controls[place], own(record, name)));
  if (about.examples.length) set(about.examples[0]);
  return {
    record() {
      const bad = about.columns.filter((column, place) => controls[place].validity.badInput);
      bad.forEach(({ name, type }) => mark({ field: name, message: `This is no ${type}.` }));
      if (bad.length) return null;
      const cells = about.columns.map((column, place) => [column.name, cell(column, controls[place].value)]);
      return Object.fromEntries(cells);
    },
    show: set,
    clear: () => set({}),
  };
}

function columnControl(column, place) {
  const { name, type, values = [] } = column;
  const known = values.filter((value) => value !== null).map(String);
  if (type === "category" && known.length && known.length <= FEW) {
    const options = ["", ...known].map((value) => make("option", { value }, value || "(missing)"));
    return make("select", { onchange: changed }, ...options);
  }
  const typed = { oninput: changed, placeholder: "(missing)" };
  if (type === "number") return make("input", { type: "number", step: "any", ...typed });
  if (type === "date") return make("input", { type: dateControl(name), step: "any", oninput: changed });
  const list = make("datalist", { id: `values-${place}` }, ...known.map((value) => make("option", { value })));
  $("examples").after(list);
  return make("input", { type: "text", list: list.id, ...typed });
}

/** The control that can hold a date as the examples write it; theirs alone tells whether it has a time. */
function dateControl(name) {
  const written = about.examples.map((record) => own(record, name)).filter((value) => value != null).map(String);
  if (written.every((value) => /^\d{4}-\d\d-\d\d$/.test(value))) return "date";
  return written.every((value) => /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?$/.test(value)) ? "datetime-local" : "text";
}

/** A record's cell; a column may be called `constructor`, which every object has. */
function own(record, name) {
  return Object.hasOwn(record, name) ? record[name] : null;
}

function setCell(control, value) {
  const text = value == null ? "" : String(value);
  const known = control.tagName !== "SELECT" || [...control.options].some((option) => option.value === text);
  if (!known) control.append(make("option", { value: text }, text));
  control.value = text;
}

function cell({ type }, value) {
  if (value.trim() === "") return null;
  return type === "number" ? Number(value) : value;
}

function historyInput() {
  let chosen = []; // {item, title}, the latest last
  const list = make("ol", { class: "items", "aria-label": "Chosen" });
  const set = (items) => {
    chosen = items;
    list.replaceChildren(...chosen.map(line));
    changed();
  };
  const line = (entry) => {
    const onclick = () => {
      set(chosen.filter((other) => other !== entry));
      $("search-items").focus();
    };
    const remove = make("button", { type: "button", "aria-label": `Remove ${entry.title}`, onclick }, "Remove");
    return make("li", {}, make("span", {}, entry.title), remove);
  };
  const add = (entry) => chosen.some(({ item }) => item === entry.item) || set([...chosen, { ...entry }]);
  const hint = make("p", { class: "hint" }, "In the order in which they were chosen, the latest last:");
  $("fields").replaceChildren(search("items", "Search for items to add", "Add", add), hint, list);
  return {
    record: () => ({ items: chosen.map(({ item }) => item) }),
    show: async ({ items }) => set(await Promise.all(items.map(titled))),
    clear: () => set([]),
    preview: async (button, { items }) => {
      const titles = (await Promise.all(items.slice(-2).map(titled))).map(({ title }) => title);
      button.textContent = [...(items.length > 2 ? ["…"] : []), ...titles].join(" → ");
    },
  };
}
