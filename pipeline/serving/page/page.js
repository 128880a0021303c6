// Tries the served model by hand: asks /about what the model takes, and builds the input for it.

import { correcting, right } from "./answer.js";
import { $, make, say, tell } from "./elements.js";
import { asking } from "./fields.js";
import { INPUTS } from "./inputs.js";
import { about, askAbout } from "./model.js";
import { input, predict, renew, use } from "./predicting.js";
import { onToken } from "./service.js";

const AGAIN = 5000; // milliseconds until a service without a model is asked again

async function load() {
  await askAbout().catch((error) => {
    if (error.status === 503) setTimeout(() => asking(load), AGAIN);
    throw error;
  });
  $("access").hidden = true;
  say("");
  document.title = `${about.model} · Ratchet`;
  tell($("model"), about.model);
  tell($("version"), `version ${about.version}`);
  use((INPUTS[about.input] ?? INPUTS.json)());
  offerExamples();
  document.querySelector("main").hidden = false;
}

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
onToken(() => about || asking(load));
asking(load);
