// What the service says of the model that it serves.

import { call } from "./service.js";

export let about; // what /about answered

export async function askAbout() {
  about = await call("about");
}
