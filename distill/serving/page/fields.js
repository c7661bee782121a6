// What both pages have: elements by name, fields to choose from, and the line of an error.

export const $ = (id) => document.getElementById(id);

export function fail(error) {
  $("error").textContent = error.message ?? String(error);
  $("error").hidden = false;
}

/** Return a field's choices: texts, each by its own value or by its place. */
export function options(texts, byPlace = false) {
  return texts.map((text, i) => {
    const made = document.createElement("option");
    made.value = byPlace ? String(i) : text;
    made.textContent = text;
    return made;
  });
}

/** Ask for labels: a field for each name, with the choices that there are. */
export function askLabels(choices) {
  $("labels").replaceChildren(...Object.entries(choices).map(([name, made]) => {
    const field = document.createElement("label");
    field.textContent = name;
    const select = document.createElement("select");
    select.name = name;
    select.append(...made);
    field.append(select);
    return field;
  }));
}

/** Return the labels that are chosen, by name. */
export function chosenLabels() {
  const selects = [...$("labels").querySelectorAll("select")];
  return Object.fromEntries(selects.map(({ name, value }) => [name, value]));
}

/** Say what speaks, at which rate, and how far it looks ahead. */
export function introduce(file, rate, hop, ahead, more = "") {
  const milliseconds = (seconds) => (1000 * seconds).toFixed(1);
  $("about").textContent =
    `${file}: ${rate} Hz, frames of ${milliseconds(hop / rate)} ms, ` +
    `${milliseconds(ahead)} ms of look-ahead${more}`;
}

/** Offer examples by name, where there are any. */
export function offerExamples(examples) {
  $("example").replaceChildren(...options(examples.map(({ name }) => name), true));
  $("example-field").hidden = !examples.length;
}

/** Wire the fields that both pages have to what each does with them. */
export function wire({ start, stop, takeExample, takeFile, redraw }) {
  $("choose").addEventListener("submit", (event) => {
    event.preventDefault();
    start().catch(fail);
  });
  $("stop").addEventListener("click", stop);
  $("example").addEventListener("change", () => {
    $("file").value = "";
    takeExample().catch(fail);
  });
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) takeFile(file).catch(fail);
  });
  window.addEventListener("resize", redraw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}
