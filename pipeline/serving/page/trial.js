// A request that a person can change, send and copy as a command.

import { make, say, tell } from "./elements.js";
import { askToken, authorization } from "./service.js";

const JSON_TYPE = "application/json";
const FORM_TYPE = "multipart/form-data";
const LONGEST = 100_000; // characters of an answer that are shown

let controls = 0; // for their ids

export function trial(path, method, operation) {
  const parameters = operation.parameters ?? [];
  const query = parameters.map(({ name, schema }) => [name, make("input", { value: schema.default })]);
  const content = operation.requestBody?.content ?? {};
  const body = content[JSON_TYPE] && new Body(content);
  const curl = make("pre", { class: "curl", tabindex: 0, "aria-label": "The same as a command" });
  const request = () => ({ path, method, query, ...body?.sent() });
  const show = () => tell(curl, command(request()));
  const answer = new Answer();
  const send = make("button", { class: "main" }, "Send");
  const onsubmit = async (event) => {
    event.preventDefault();
    send.disabled = true;
    await answer.ask(request());
    send.disabled = false;
    if (document.activeElement === document.body) send.focus(); // which a disabled button loses
    show(); // a token may have been typed since
  };
  const inputs = [...query.map(([name, control]) => labelled(name, control)), ...(body?.fields ?? [])];
  const form = make("form", { onsubmit }, ...inputs, make("div", { class: "row" }, send, answer.outcome));
  form.addEventListener("input", show);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  if (path === "/feedback") addEventListener("predicted", ({ detail }) => body.judge(detail) || show());
  show();
  const copied = make("div", { class: "heading" }, make("h3", {}, "curl"), copyButton(curl));
  return make("section", {}, make("h3", {}, "Try it"), form, answer.shown, copied, curl);
}

function labelled(text, control) {
  control.id = `control-${(controls += 1)}`;
  return make("div", { class: "field" }, make("label", { for: control.id }, text), control);
}

/** The body of a request: JSON, from an example, or a file. */
class Body {
  constructor(content) {
    const { examples } = content[JSON_TYPE];
    const values = Object.values(examples).map(({ value }) => JSON.stringify(value, null, 2));
    this.area = make("textarea", { spellcheck: "false", oninput: () => this.forget() }, values[0] ?? "{}");
    this.file = make("input", { type: "file", accept: "image/*" });
    this.fields = [labelled("JSON", this.area)];
    if (values.length > 1) this.fields.unshift(labelled("Example", this.choice(Object.keys(examples), values)));
    if (content[FORM_TYPE]) this.fields.push(labelled("Or a picture file", this.file));
  }

  choice(names, values) {
    const options = names.map((name, place) => make("option", { value: place }, name));
    const oninput = ({ target }) => {
      this.area.value = values[target.value];
      this.forget();
    };
    return make("select", { oninput }, ...options);
  }

  forget() {
    this.file.value = "";
  }

  /** Names the prediction that was answered last, unless the text is no JSON. */
  judge(name) {
    try {
      this.area.value = JSON.stringify({ ...JSON.parse(this.area.value), prediction_id: name }, null, 2);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }

  sent() {
    const [file] = this.file.files;
    return file ? { file } : { text: this.area.value };
  }
}

/** What the service answered to a request. */
class Answer {
  constructor() {
    this.outcome = make("p", { class: "outcome", role: "status" });
    this.shown = make("pre", { class: "answer", tabindex: 0, "aria-label": "Answer", hidden: true });
  }

  async ask({ path, method, query, text, file }) {
    const options = { method: method.toUpperCase(), headers: authorization() };
    if (text !== undefined) Object.assign(options.headers, { "Content-Type": JSON_TYPE });
    if (text !== undefined || file) options.body = file ? formOf(file) : text;
    const began = performance.now();
    try {
      const response = await fetch(address(path, query), options);
      const content = await response.text();
      this.show(path, response, content, performance.now() - began);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // as fetch has it where there is no answer
      this.show(path, { ok: false, status: 0, statusText: "The service does not answer. Is it still running?" }, "");
    }
  }

  show(path, { ok, status, statusText }, content, milliseconds) {
    this.outcome.classList.toggle("refused", !ok);
    tell(this.outcome, status ? `${status} ${statusText} · ${milliseconds.toFixed(1)} ms` : statusText);
    const value = parsed(content);
    const text = value === undefined ? content : JSON.stringify(value, null, 2);
    tell(this.shown, text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
    this.shown.hidden = !content;
    if (status === 401) askToken();
    const name = path === "/predict" && value?.prediction_id;
    if (name) dispatchEvent(new CustomEvent("predicted", { detail: name }));
  }
}

function parsed(content) {
  try {
    return JSON.parse(content);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function formOf(file) {
  const form = new FormData();
  form.append("image", file);
  return form;
}

function address(path, query) {
  const url = new URL(path.slice(1), location.href);
  for (const [name, { value }] of query) if (value) url.searchParams.set(name, value);
  return url.href;
}

/** The token stays out of it: whoever copies the command sets TOKEN. */
function command({ path, query, text, file }) {
  const parts = [`curl ${quoted(address(path, query))}`];
  if (authorization().Authorization) parts.push('--header "Authorization: Bearer $TOKEN"');
  if (text !== undefined) parts.push(`--header 'Content-Type: ${JSON_TYPE}'`, `--data-raw ${quoted(text)}`);
  if (file) parts.push(`--form ${quoted(`image=@${file.name}`)}`);
  return parts.join(" \\\n  ");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function copyButton(shown) {
  const onclick = async () => {
    getSelection().selectAllChildren(shown);
    if (!navigator.clipboard) return say("It is selected: copy it by Ctrl+C."); // http:// from another machine
    await navigator.clipboard.writeText(shown.textContent);
    return say("Copied");
  };
  return make("button", { type: "button", "aria-label": "Copy the command", onclick }, "Copy");
}
