// What is drawn, and the record that it makes.

import { make } from "./elements.js";

const SIDE = 280; // units of the paper's longer side
const PEN = 24; // units of the pen's width
const RUBBER = 48;
const BOX = 20 / 28; // share of the picture that a digit of MNIST fills
const LINE = 2.7 / 28; // and of its strokes' width
const LARGEST = 5; // times that a small drawing is enlarged at most

function canvas(width, height) {
  const element = make("canvas", { width, height });
  return [element, element.getContext("2d", { willReadFrequently: true })];
}

/** Black paper with white strokes, or with a picture. */
export class Paper {
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
