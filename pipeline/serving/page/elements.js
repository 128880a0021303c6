// What the pages build their elements with.

export const $ = (id) => document.getElementById(id);

/** An element with attributes, listeners (names with on…) and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Changes a text only where it differs, so that a screen reader speaks only of news. */
export function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function say(text, refused = false) {
  $("status").classList.toggle("refused", refused);
  tell($("status"), text);
}
