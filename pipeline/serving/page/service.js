// Questions to the service, and the token that it may ask for.

import { $, say } from "./elements.js";

/** What the service refused: problems are [{field, message}]. */
export class Refused extends Error {
  constructor(status, problems) {
    super(problems.map((problem) => problem.message).join("\n"));
    this.status = status;
    this.problems = problems;
  }
}

export async function call(path, body) {
  const headers = authorization();
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

export function authorization() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** True if one was sent, which is wrong then. */
export function askToken() {
  $("access").hidden = false;
  $("token").focus();
  const sent = sessionStorage.getItem("token") !== null;
  sessionStorage.removeItem("token");
  return sent;
}

/** What is done when a person has typed the token. */
export function onToken(act) {
  $("access").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", $("token").value);
    $("token").value = "";
    $("access").hidden = true;
    say("");
    act();
  });
}
