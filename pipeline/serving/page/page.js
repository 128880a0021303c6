// Tries the served model by hand: asks /about what the model takes, and builds the input for it.

const PAUSE = 250; // milliseconds between two predictions: at most 4 a second
const SEARCH_PAUSE = 200; // milliseconds without a key before titles are searched
const FOUND = 20; // titles that /items gives at most
const AGAIN = 5000; // milliseconds until a service without a model is asked again
const TOP = 10; // bars
const NOTHING = "Nothing yet";
const FEW = 30; // values of a category that a list to select from can hold, or labels that need no search

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const scores = new Intl.NumberFormat("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });

let about; // what /about answered
let input; // what the chosen kind of input offers: record(), show(record), clear()
let shown; // the answer that is on the page
let edition = 0; // counts changes of the input
let cleared = 0; // the edition before which answers are of no interest

/** An element with attributes, listeners (names with on…) and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Changes a text only where it differs, so that a screen reader speaks only of news. */
function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function say(text, refused = false) {
  $("status").classList.toggle("refused", refused);
  tell($("status"), text);
}

// ---- the service

/** What the service refused: problems are [{field, message}]. */
class Refused extends Error {
  constructor(status, problems) {
    super(problems.map((problem) => problem.message).join("\n"));
    this.status = status;
    this.problems = problems;
  }
}

async function call(path, body) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const form = body instanceof FormData;
  if (body && !form) headers["Content-Type"] = "application/json";
  const sent = body ? { method: "POST", body: form ? body : JSON.stringify(body) } : {};
  const response = await fetch(path, { ...sent, headers }).catch(() => {
    throw new Refused(0, [{ field: "", message: "The service does not answer. Is it still running?" }]);
  });
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  const unknown = [{ field: "", message: `The service answered ${response.status} ${response.statusText}` }];
  throw new Refused(response.status, Array.isArray(answer?.detail) ? answer.detail : unknown);
}

/** Does something with the service; what it refuses stands beside the field that it names, or in the status. */
async function asking(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) askToken();
    const other = error.problems.filter((problem) => !mark(problem));
    say(other.map(({ field, message }) => (field ? `${field}: ${message}` : message)).join("\n"), true);
  }
}

function askToken() {
  $("access").hidden = false;
  $("token").focus();
}

async function load() {
  about = await call("about").catch((error) => {
    if (error.status === 503) setTimeout(() => asking(load), AGAIN);
    throw error;
  });
  $("access").hidden = true;
  say("");
  document.title = `${about.model} · Ratchet`;
  tell($("model"), about.model);
  tell($("version"), `version ${about.version}`);
  input = KINDS[about.kind]();
  offerExamples();
  document.querySelector("main").hidden = false;
}

// ---- fields and what is wrong with them

const fields = new Map(); // the field's name in the API → {control, error}

/** A labelled control, with what stands around it; `name` is what the API calls it. */
function field(name, text, control, ...more) {
  const framed = control.parentElement ?? control;
  const id = `field-${fields.size}`;
  control.id ||= id;
  const error = make("p", { class: "error", id: `${id}-error` });
  control.setAttribute("aria-describedby", error.id);
  fields.set(name, { control, error });
  return make("div", { class: "field" }, make("label", { for: control.id }, text), framed, ...more, error);
}

/** Shows a problem beside its field; false where the page has no such field. */
function mark({ field: name, message }) {
  const found = [...fields].find(([known]) => name === known || name.startsWith(`${known}.`));
  if (!found) return false;
  const [, { control, error }] = found;
  control.setAttribute("aria-invalid", "true");
  error.textContent = [error.textContent, message].filter(Boolean).join("\n");
  return true;
}

function unmark() {
  for (const { control, error } of fields.values()) {
    control.removeAttribute("aria-invalid");
    error.textContent = "";
  }
}

// ---- prediction

let wanted = false;
let busy = false;

/** Predicts what the input says now; while an answer is awaited, the next one waits. */
async function predict() {
  wanted = true;
  if (busy) return;
  busy = true;
  $("predict").setAttribute("aria-busy", "true");
  try {
    while (wanted) {
      wanted = false;
      await asking(predictOnce);
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  } finally {
    busy = false;
    $("predict").removeAttribute("aria-busy");
  }
}

async function predictOnce() {
  unmark();
  const record = input.record();
  if (record === null) return;
  const sent = edition;
  const answer = await call("predict", record);
  if (answer.version !== about.version) about = await call("about"); // a new champion, perhaps with other labels
  tell($("version"), `version ${answer.version}`);
  if (sent < cleared) return;
  say("");
  show(answer);
  stale(sent !== edition);
}

function changed() {
  edition += 1;
  stale(true);
}

/** An answer to another input than the one on the page can't be judged. */
function stale(is) {
  $("result").classList.toggle("stale", is);
  for (const id of ["right", "wrong"]) $(id).disabled = is;
  if (is) correcting(false);
}

/** Another input altogether: what was said of the one before goes. */
function renew() {
  changed();
  cleared = edition;
  unmark();
  say("");
  $("answer").hidden = true;
  tell($("label"), NOTHING);
}

// ---- the answer

function show(answer) {
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

// ---- feedback

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

function right() {
  if (about.task === "ranking") return feedback(shown.items[0].item, shown.items[0].title);
  return feedback(about.task === "regression" ? shown.value : shown.label);
}

/** Opens or closes what asks for the right answer. */
function correcting(open) {
  if (open !== $("correction").hidden) return;
  $("wrong").setAttribute("aria-expanded", String(open));
  $("correction").hidden = !open;
  $("ranking").classList.toggle("correcting", open);
  fields.delete("label");
  const ask = { classification: askLabel, regression: askNumber, ranking: askItem }[about.task];
  $("correction").replaceChildren(...(open ? ask() : []));
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

// ---- examples

function offerExamples() {
  const buttons = about.examples.map((record, place) => {
    const name = `Example ${place + 1}`;
    const onclick = () => {
      renew();
      asking(async () => {
        await input.show(record);
        predict();
      });
    };
    const button = make("button", { type: "button", title: name, onclick }, name);
    asking(() => input.preview?.(button, record, name));
    return button;
  });
  $("examples").replaceChildren(...buttons);
}

// ---- kinds of input

const KINDS = { image: pictureInput, text: textInput, behaviour: historyInput, table: tableInput };

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
  const set = (record) => about.columns.forEach(({ name }, place) => setCell(controls[place], record[name]));
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
  const written = about.examples.map((record) => record[name]).filter((value) => value != null).map(String);
  if (written.every((value) => /^\d{4}-\d\d-\d\d$/.test(value))) return "date";
  return written.every((value) => /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?$/.test(value)) ? "datetime-local" : "text";
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

/** An item's title, which /items finds by the id as well. */
async function titled(item) {
  const found = await call(`items?query=${encodeURIComponent(item)}`);
  return found.find((one) => one.item === item) ?? { item, title: item };
}

/** A field that searches the items; `choose` gets the one whose button, with the word `verb`, is pressed. */
function search(name, text, verb, choose) {
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
    timer = setTimeout(look, SEARCH_PAUSE, control);
  });
  control.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    list.querySelector("button")?.click();
  });
  return field(name, text, control, found, list);
}

// ---- pictures

const FORMATS = "image/png,image/jpeg,image/webp,image/bmp,image/gif";
const SIDE = 280; // units of the paper's longer side
const PEN = 24; // units of the pen's width
const RUBBER = 48;
const STEP = 7; // units of an arrow key
const BOX = 20 / 28; // share of the picture that a digit of MNIST fills
const LINE = 2.7 / 28; // and of its strokes' width
const LARGEST = 5; // times that a small drawing is enlarged at most

function pictureInput() {
  const [channels, height, width] = about.shape;
  const paper = new Paper(width, height);
  paper.canvas.id = "draw";
  let chosen = null; // a record or a file; null: what is drawn
  const drawn = () => {
    chosen = null;
    changed();
    predict();
  };
  const take = async (what, picture) => {
    paper.clear();
    chosen = what;
    paper.picture(await picture);
  };
  const takeFile = async ({ target }) => {
    const [file] = target.files;
    if (!file) return;
    renew();
    const form = new FormData();
    form.append("image", file);
    await take(form, createImageBitmap(file).catch(() => null)); // the service says what is wrong with it
    target.value = "";
    predict();
  };
  const file = make("input", { type: "file", accept: FORMATS, onchange: takeFile });
  const choose = make("label", { class: "button" }, "Choose a picture", file);
  const drawable = channels === 1;
  if (drawable) new Pen(paper, drawn);
  const tools = make("div", { class: "row" }, ...(drawable ? [rubberButton(paper)] : []), choose);
  make("div", { class: "paper" }, paper.canvas, paper.pen);
  const labelled = field("image", drawable ? "Drawing" : "Picture", paper.canvas, hint(drawable), tools);
  fields.set("pixels", fields.get("image"));
  $("fields").replaceChildren(labelled);
  return {
    record() {
      const record = chosen ?? paper.record();
      if (!record) mark({ field: "image", message: drawable ? "Draw something first." : "Choose a picture first." });
      return record;
    },
    show: (record) => take(record, pictureOf(record, width, height)),
    clear() {
      chosen = null;
      paper.clear();
    },
    async preview(button, record, name) {
      const thumb = new Paper(width, height);
      thumb.picture(await pictureOf(record, width, height));
      button.className = "picture";
      button.replaceChildren(make("img", { src: thumb.canvas.toDataURL(), alt: name }));
    },
  };
}

function hint(drawable) {
  const text = "With mouse or finger; or by arrow keys: space lowers and lifts the pen.";
  return make("p", { class: "hint" }, drawable ? text : "As the model sees it, in its size.");
}

function rubberButton(paper) {
  const onclick = ({ target }) => {
    paper.rubber = !paper.rubber;
    target.setAttribute("aria-pressed", String(paper.rubber));
  };
  return make("button", { type: "button", "aria-pressed": "false", onclick }, "Eraser");
}

/** What can be painted of an example: {image: base64} or {pixels}, of one channel or three. */
async function pictureOf({ image, pixels }, width, height) {
  if (image !== undefined) {
    const picture = make("img", { src: image.startsWith("data:") ? image : `data:image/png;base64,${image}` });
    await picture.decode();
    return picture;
  }
  const values = pixels.flat(Infinity);
  const area = width * height;
  const data = new ImageData(width, height);
  for (let i = 0; i < area; i += 1) {
    const channel = (c) => values[values.length === area ? i : c * area + i];
    data.data.set([channel(0), channel(1), channel(2), 255], 4 * i);
  }
  return createImageBitmap(data);
}

function canvas(width, height) {
  const element = make("canvas", { width, height });
  return [element, element.getContext("2d", { willReadFrequently: true })];
}

/** Black paper with white strokes, or with a picture. */
class Paper {
  constructor(width, height) {
    this.size = [width, height];
    this.unit = SIDE / Math.max(width, height); // units of the paper in a pixel of the model's picture
    [this.canvas, this.context] = canvas(Math.round(width * this.unit), Math.round(height * this.unit));
    this.pen = make("div", { id: "pen", hidden: true });
    this.rubber = false;
    this.clear();
  }

  clear() {
    this.strokes = []; // {rubber, points: [[x, y], …]}
    this.paint();
  }

  paint() {
    const { width, height } = this.canvas;
    strokes(this.context, this.strokes, [width, height], { scale: 1, x: 0, y: 0, line: PEN });
  }

  /** Shows a picture as the model gets it, in its few pixels. */
  picture(picture) {
    if (!picture) return;
    const [small, context] = canvas(...this.size);
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, ...this.size);
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(small, 0, 0, this.canvas.width, this.canvas.height);
  }

  /** The drawing as MNIST's digits are: in a box of 20/28, its centre of mass in the middle. null: nothing is drawn. */
  record() {
    const drawn = extent(this.context);
    if (!drawn) return null;
    const [element, context] = canvas(...this.size);
    const shorter = Math.min(...this.size);
    const line = LINE * shorter;
    const scale = Math.min((BOX * shorter - line) / Math.max(drawn.side - PEN, 1), LARGEST / this.unit);
    const [width, height] = this.size;
    const place = { scale, x: width / 2 - scale * drawn.x, y: height / 2 - scale * drawn.y, line };
    strokes(context, this.strokes, this.size, place);
    const mass = extent(context);
    if (!mass) return null;
    const moved = { ...place, x: place.x + width / 2 - mass.massX, y: place.y + height / 2 - mass.massY };
    strokes(context, this.strokes, this.size, moved);
    return { image: element.toDataURL("image/png") };
  }
}

/** Paints strokes on black, of `line` pixels wherever they are scaled to. */
function strokes(context, some, [width, height], { scale, x, y, line }) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  context.setTransform(scale, 0, 0, scale, x, y);
  context.lineCap = context.lineJoin = "round";
  for (const { rubber, points } of some) {
    context.strokeStyle = rubber ? "#000" : "#fff";
    context.lineWidth = rubber ? RUBBER : line / scale;
    context.beginPath();
    context.moveTo(points[0][0], points[0][1] + 0.01); // so that a single point is a dot
    for (const [px, py] of points) context.lineTo(px, py);
    context.stroke();
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
}

/** What is not black: the middle and longer side of its box, and its centre of mass, in pixels; null if nothing. */
function extent(context) {
  const { width, height } = context.canvas;
  const { data } = context.getImageData(0, 0, width, height);
  let [left, top, rightmost, bottom, sum, sumX, sumY] = [width, height, -1, -1, 0, 0, 0];
  for (let i = 0; i < width * height; i += 1) {
    const light = data[4 * i];
    if (!light) continue;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, rightmost, top, bottom] = [Math.min(left, x), Math.max(rightmost, x), Math.min(top, y), Math.max(bottom, y)];
    sum += light;
    sumX += light * (x + 0.5);
    sumY += light * (y + 0.5);
  }
  if (!sum) return null;
  const side = Math.max(rightmost - left, bottom - top) + 1;
  return { side, x: (left + rightmost + 1) / 2, y: (top + bottom + 1) / 2, massX: sumX / sum, massY: sumY / sum };
}

/** Draws on a paper by pointer and by keys; `drawn` is called after each change. */
class Pen {
  constructor(paper, drawn) {
    this.paper = paper;
    this.drawn = drawn;
    this.down = false;
    this.at = [paper.canvas.width / 2, paper.canvas.height / 2];
    const { canvas: element } = paper;
    element.classList.add("drawable");
    element.tabIndex = 0;
    element.setAttribute("role", "application");
    element.setAttribute("aria-label", "Drawing: arrow keys move the pen, space lowers and lifts it");
    element.addEventListener("pointerdown", (event) => this.press(event));
    element.addEventListener("pointermove", (event) => this.follow(event));
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => this.lift());
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("focus", () => element.matches(":focus-visible") && this.mark());
    element.addEventListener("blur", () => this.rest());
  }

  lower() {
    this.down = true;
    this.paper.strokes.push({ rubber: this.paper.rubber, points: [] });
  }

  lift() {
    this.down = false;
  }

  rest() {
    this.lift();
    this.paper.pen.hidden = true;
  }

  draw(points) {
    this.at = points.at(-1);
    this.paper.strokes.at(-1).points.push(...points);
    this.paper.paint();
    this.drawn();
  }

  place({ clientX, clientY }) {
    const box = this.paper.canvas.getBoundingClientRect();
    const scale = this.paper.canvas.width / box.width;
    return [(clientX - box.left) * scale, (clientY - box.top) * scale];
  }

  press(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    this.paper.pen.hidden = true;
    this.paper.canvas.setPointerCapture(event.pointerId);
    this.lower();
    this.draw([this.place(event)]);
  }

  follow(event) {
    if (!this.down || !event.isPrimary || !event.buttons) return;
    const events = event.getCoalescedEvents();
    this.draw((events.length ? events : [event]).map((one) => this.place(one)));
  }

  key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way && event.key !== " ") return;
    event.preventDefault();
    if (way) {
      const { width, height } = this.paper.canvas;
      const limits = [width, height];
      this.at = this.at.map((value, axis) => Math.min(Math.max(value + STEP * way[axis], 0), limits[axis]));
      if (this.down) this.draw([this.at]);
    } else if (this.down) {
      this.lift();
      say("Pen up");
    } else {
      this.lower();
      this.draw([this.at]);
      say("Pen down");
    }
    this.mark();
  }

  mark() {
    const { pen, canvas: element } = this.paper;
    pen.hidden = false;
    pen.classList.toggle("down", this.down);
    pen.style.left = `${(100 * this.at[0]) / element.width}%`;
    pen.style.top = `${(100 * this.at[1]) / element.height}%`;
  }
}

// ---- what the page's own buttons do

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  predict();
});
$("clear").addEventListener("click", () => {
  input.clear();
  renew();
});
$("right").addEventListener("click", right);
$("wrong").addEventListener("click", () => correcting($("correction").hidden));
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  $("token").value = "";
  $("access").hidden = true;
  say("");
  if (!about) asking(load);
});
asking(load);
