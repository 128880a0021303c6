// The API as /openapi.json describes it, in Swagger UI, which is told of this service's token and of its answers.

import { $, say, tell } from "./elements.js";
import { asking } from "./fields.js";
import { askToken, authorization, call, onToken } from "./service.js";

const FEEDBACK = ["/feedback", "post"];
const NOBODY = "0".repeat(32); // the prediction that the document's example names

let shown; // Swagger UI
let last = NOBODY; // the prediction that was answered last

async function load() {
  const spec = await call("openapi.json");
  $("access").hidden = true;
  say(spec.components.schemas.Record ? "" : "There is no model yet; /health says why. Then load this page again.");
  shown = SwaggerUIBundle({
    spec,
    domNode: $("operations"),
    plugins: [naming],
    tryItOutEnabled: true,
    displayRequestDuration: true,
    defaultModelExpandDepth: 9,
    defaultModelsExpandDepth: -1, // no second list of all schemas
    showMutatedRequest: false, // so that the token stays out of the command to copy
    requestInterceptor: (request) => Object.assign(request, { headers: { ...request.headers, ...authorization() } }),
    responseInterceptor: heard,
    onComplete: open,
  });
  const { model, version } = await call("health");
  if (model) tell($("model"), `${model} version ${version}`);
}

/** The operation that the address names, else the first. Its own deep links warn of an underscore in a name. */
function open() {
  const name = location.hash.slice(1) || "predict";
  shown.getSystem().layoutActions.show(["operations", "default", name], true);
  if (location.hash) requestAnimationFrame(() => $(`operations-default-${name}`)?.scrollIntoView());
}

/** What Swagger UI is about to show as a request: /feedback names the answer that came last. */
function naming() {
  const setRequestBodyValue = (set) => (given) => {
    const ours = given.pathMethod[0] === FEEDBACK[0] && typeof given.value === "string";
    return set(ours ? { ...given, value: given.value.replace(NOBODY, last) } : given);
  };
  return { statePlugins: { oas3: { wrapActions: { setRequestBodyValue } } } };
}

/** The same where /feedback is open already. */
function heard(response) {
  if (response.status === 401) askToken();
  const name = new URL(response.url).pathname.endsWith("/predict") && response.body?.prediction_id;
  if (!name) return response;
  const { oas3Actions, oas3Selectors } = shown.getSystem();
  const value = oas3Selectors.requestBodyValue(...FEEDBACK)?.replace(last, name);
  if (value) oas3Actions.setRequestBodyValue({ value, pathMethod: FEEDBACK });
  last = name;
  return response;
}

document.documentElement.classList.toggle("dark-mode", matchMedia("(prefers-color-scheme: dark)").matches);
addEventListener("hashchange", open);
onToken(() => shown || asking(load));
asking(load);
