// The pen that draws on a paper.

import { say } from "./elements.js";

const STEP = 7; // units of an arrow key

/** Draws on a paper by pointer and by keys; `drawn` is called after each change, `lifted` when a line ends. */
export class Pen {
  constructor(paper, drawn, lifted) {
    this.paper = paper;
    this.drawn = drawn;
    this.lifted = lifted;
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
    this.lifted();
  }

  rest() {
    this.down = false;
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
