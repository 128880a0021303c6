// From the input on the page to its answer.

import { correcting, show } from "./answer.js";
import { $, say, tell } from "./elements.js";
import { asking, unmark } from "./fields.js";
import { about, askAbout } from "./model.js";
import { call } from "./service.js";

const PAUSE = 250; // milliseconds between two predictions: at most 4 a second
const NOTHING = "Nothing yet";
const SLOW = 400; // milliseconds without an answer after which the page says that it waits
const WAITING = "Predicting…";
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export let input; // what the chosen kind of input offers: record(), show(record), clear()
let edition = 0; // counts changes of the input
let cleared = 0; // the edition before which answers are of no interest
let wanted = false;
let busy = false;

export function use(offered) {
  input = offered;
}

/** Predicts what the input says now; while an answer is awaited, the next one waits. */
export async function predict() {
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
  const answer = await patiently(call("predict", record));
  if (answer.version !== about.version) await askAbout(); // a new champion, perhaps with other labels
  tell($("version"), `version ${answer.version}`);
  if (sent < cleared) return;
  say("");
  show(answer);
  stale(sent !== edition);
  reveal();
}

/** Says that an answer is waited for, where it is slow. */
async function patiently(asked) {
  const slow = setTimeout(say, SLOW, WAITING);
  try {
    return await asked;
  } finally {
    clearTimeout(slow);
    if ($("status").textContent === WAITING) say("");
  }
}

/** On a small screen the answer is below the input: scrolls as little as shows it, and never beneath a drawing pen. */
export function reveal() {
  if ($("answer").hidden || input.drawing?.()) return;
  $("label").scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
}

export function changed() {
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
export function renew() {
  changed();
  cleared = edition;
  unmark();
  say("");
  $("answer").hidden = true;
  tell($("label"), NOTHING);
}
