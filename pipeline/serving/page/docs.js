// The API as /openapi.json describes it, and a way to send each of its requests.

import { $, make, say, tell } from "./elements.js";
import { asking } from "./fields.js";
import { described, know } from "./schema.js";
import { call, onToken } from "./service.js";
import { trial } from "./trial.js";

const JSON_TYPE = "application/json";

let drawn = false;

async function load() {
  const api = await call("openapi.json");
  $("access").hidden = true;
  say(api.components.schemas.Record ? "" : "There is no model yet; /health says why. Then load this page again.");
  know(api);
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => drawnOperation(path, method, operation))
  );
  $("operations").replaceChildren(...operations);
  drawn = true;
  open();
  const { model, version } = await call("health");
  if (model) tell($("model"), `${model} version ${version}`);
}

function drawnOperation(path, method, operation) {
  const summary = make(
    "summary",
    {},
    make("span", { class: `method ${method}` }, method.toUpperCase()),
    make("span", { class: "path" }, path),
    make("span", { class: "quiet" }, operation.summary ?? "")
  );
  const sides = make("div", { class: "sides" }, told(operation), trial(path, method, operation));
  return make("details", { class: "card operation", id: operation.operationId }, summary, sides);
}

/** What goes in, what comes out, and what may be refused. */
function told({ parameters = [], requestBody, responses }) {
  const parts = [];
  const heading = (text) => parts.push(make("h3", {}, text));
  if (parameters.length) {
    heading("Query");
    const entries = parameters.map(({ name, schema }) => [name, schema]);
    const required = parameters.filter((one) => one.required).map(({ name }) => name);
    parts.push(described({ properties: Object.fromEntries(entries), required }, true));
  }
  for (const [type, { schema }] of Object.entries(requestBody?.content ?? {})) {
    heading(type === JSON_TYPE ? "Request" : `Or as ${type}`);
    parts.push(described(schema, true));
  }
  for (const [type, { schema }] of Object.entries(responses[200].content)) {
    heading(type === JSON_TYPE ? "Answer" : `Answer, ${type}`);
    parts.push(described(schema, false));
  }
  return make("section", {}, ...parts, refusals(responses));
}

function refusals(responses) {
  const lines = Object.entries(responses).filter(([status]) => status !== "200");
  const list = lines.flatMap(([status, { description }]) => [make("dt", {}, status), make("dd", {}, description)]);
  const form = make("p", {}, 'Each names what is wrong: {"detail": [{"field": …, "message": …}]}');
  return make("details", { class: "refusals" }, make("summary", {}, "Refusals"), make("dl", {}, ...list), form);
}

/** The operation that the address names, else the first. */
function open() {
  const named = document.getElementById(location.hash.slice(1));
  const chosen = named?.matches(".operation") ? named : document.querySelector(".operation");
  chosen.open = true;
  if (chosen === named) chosen.scrollIntoView();
}

onToken(() => drawn || asking(load));
addEventListener("hashchange", open);
asking(load);
