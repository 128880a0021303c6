// A picture, drawn or chosen.

import { $, make } from "./elements.js";
import { field, fields, mark } from "./fields.js";
import { about } from "./model.js";
import { Paper } from "./paper.js";
import { Pen } from "./pen.js";
import { changed, predict, renew, reveal } from "./predicting.js";

const FORMATS = "image/png,image/jpeg,image/webp,image/bmp,image/gif";

export function pictureInput() {
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
  const pen = drawable && new Pen(paper, drawn, reveal);
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
    drawing: () => pen && pen.down,
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
