"use strict";
/* Correcting buildings: buttons and keys of the panel, drawing and splitting on the map, the file, and the browser's storage. */

const places = new Places(editing.places);
const storageKey = `detect corrections ${editing.key}`;
let mode = null; // what clicks and keys on the map mean now; null: choose buildings
let unsaved = false;

const say = (text) => (byId("said").textContent = text);
const stored = (use) => {
  try {
    return use(window.localStorage);
  } catch {
    return null; // a browser may forbid it for pages on disk
  }
};

/* After each change. */

function refresh(changed) {
  for (const i of changed) {
    const old = layers.buildings.boxes[i];
    const now = (layers.buildings.boxes[i] = found.rings.box(i));
    for (const box of [old, now]) if (box) layers.buildings.repaint(box);
    index.set(found.id[i], i);
  }
  const count = corrections.summary();
  const total = Object.values(count).reduce((a, b) => a + b);
  const parts = Object.entries(count).filter(([, n]) => n).map(([kind, n]) => `${number(n)} ${WORDS[kind]}`);
  byId("corrections-text").textContent = total ? `${number(total)} building${total > 1 ? "s" : ""}: ${parts.join(", ")}.` : "None.";
  byId("download").disabled = !total;
  byId("undo").disabled = !corrections.steps.length;
  for (const span of document.querySelectorAll("[data-shown]")) {
    span.textContent = number(Number(span.dataset.found) + corrections.more(span.dataset.shown));
  }
  byId("corrected").hidden = byId("as-found").hidden = !corrections.touched().some((i) => corrections.kind(i) !== "confirmed");
  for (const button of document.querySelectorAll("button[data-building]")) {
    button.classList.toggle("seen", corrections.kind(index.get(Number(button.dataset.building))) !== "");
  }
  unsaved = total > 0;
  keep();
  showBeds();
}

function keep() {
  if (!byId("keep").checked) return;
  const done = stored((storage) => (storage.setItem(storageKey, JSON.stringify(corrections.toGeoJSON((p) => places.at(p)))), true));
  if (done) unsaved = false;
  else {
    byId("keep").checked = false;
    say("This browser keeps nothing for pages on disk; download the corrections instead.");
  }
}

function change(changes, text) {
  corrections.change(changes);
  if (!byId("keep").checked && corrections.steps.length === 1) text += " Closing the page loses corrections unless you download them, or keep them in this browser.";
  refresh(changes.map(([i]) => i));
  showPressed();
  say(text);
}

function undo() {
  const changed = corrections.undo();
  refresh(changed);
  if (changed.length) {
    const kept = changed.find((i) => i < corrections.count || !corrections.state(i).gone);
    if (kept !== undefined) select(found.id[kept]);
    showPressed();
    say("Undone.");
  }
}

/* The chosen building. */

function showPressed() {
  const i = index.get(chosen);
  byId("correct").hidden = i === undefined;
  if (i === undefined) return;
  const { stage, like, gone, right } = corrections.state(i);
  const pressed = (button, yes) => button.setAttribute("aria-pressed", String(yes));
  for (const button of document.querySelectorAll("[data-stage]")) pressed(button, !gone && button.dataset.stage === stage);
  pressed(byId("like"), !gone && like);
  pressed(byId("gone"), gone);
  pressed(byId("right"), right);
  byId("split").disabled = gone;
}

/** Change the chosen building: `part(state)` gives what changes. */
function correct(part, text) {
  const i = index.get(chosen);
  if (i !== undefined) change([[i, part(corrections.state(i))]], `Building ${chosen}: ${text(corrections.state(i))}.`);
}

const actions = {
  f: () => correct(() => ({ stage: "foundation", gone: false }), () => "foundation"),
  i: () => correct(() => ({ stage: "incomplete", gone: false }), () => "incomplete"),
  c: () => correct(() => ({ stage: "complete", gone: false }), () => "complete"),
  d: () => correct(({ like }) => ({ like: !like, gone: false }), ({ like }) => (like ? `not ${LIKE}` : LIKE)),
  x: () => correct(({ gone }) => ({ gone: !gone }), ({ gone }) => (gone ? "a building again" : "not a building")),
  r: () => correct(({ right }) => ({ right: !right, gone: false }), ({ right }) => (right ? "not checked" : "right as it is")),
  s: () => startSplit(),
  n: () => startDraw(),
  u: () => undo(),
  m: () => nextToCheck(),
};
for (const button of document.querySelectorAll("[data-stage]")) button.addEventListener("click", actions[button.dataset.stage[0]]);
for (const [id, key] of [["like", "d"], ["gone", "x"], ["right", "r"], ["split", "s"], ["draw", "n"], ["undo", "u"], ["to-check", "m"]]) {
  byId(id)?.addEventListener("click", actions[key]);
}

function nextToCheck() {
  const left = [...document.querySelectorAll("button[data-building]:not(.seen)")].map((button) => Number(button.dataset.building));
  if (!left.length) return say("The whole list is checked.");
  const all = [...document.querySelectorAll("button[data-building]")].map((button) => Number(button.dataset.building));
  const after = all.indexOf(chosen);
  const next = left.find((id) => all.indexOf(id) > after) ?? left[0];
  select(next, true);
  say(`Building ${next}. ${left.length} of ${all.length} ${left.length === 1 ? "is" : "are"} left to check.`);
}

/* Drawing and splitting. */

function leave(text = "") {
  if (!mode) return;
  for (const layer of mode.shown) layer.remove();
  document.querySelectorAll(".map-frame .mode, .map-frame .cross").forEach((element) => element.remove());
  map.doubleClickZoom.enable();
  map.keyboard.enable();
  mode = null;
  if (text) say(text);
}

/** A mode: {help, buttons: {text: what it does}, click(point), key(event), shown: layers, cross} */
function enter(made) {
  leave();
  mode = made;
  map.doubleClickZoom.disable();
  const bar = document.createElement("div");
  bar.className = "mode";
  const help = document.createElement("span");
  help.textContent = made.help;
  bar.append(help);
  for (const [text, act] of Object.entries({ ...made.buttons, Cancel: () => leave("Cancelled.") })) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", act);
    bar.append(button);
  }
  const frame = document.querySelector(".map-frame");
  frame.append(bar);
  if (made.cross) {
    const cross = document.createElement("div");
    cross.className = "cross";
    frame.append(cross);
  }
  frame.scrollIntoView({ block: "nearest" });
  byId("map").focus({ preventScroll: true });
  say(made.help);
}

const pointAt = (latlng) => [Math.round(10 * latlng.lng) / 10, Math.round(-10 * latlng.lat) / 10];

function startDraw() {
  const corners = [];
  const line = L.polygon([], { color: "#fff", weight: 2, dashArray: "4 4", fillOpacity: 0.15, interactive: false }).addTo(map);
  const show = () => line.setLatLngs(corners.map(toLatLng));
  const add = (point) => {
    const last = corners[corners.length - 1];
    if (last && Math.hypot(last[0] - point[0], last[1] - point[1]) * 2 ** map.getZoom() < 4) return; // the second click of a double click
    corners.push(point);
    show();
    say(`${corners.length} corner${corners.length > 1 ? "s" : ""}.`);
  };
  const back = () => (corners.pop(), show(), say(`${corners.length} corner${corners.length === 1 ? "" : "s"}.`));
  const finish = () => {
    if (corners.length < 3) return say("A building needs three corners.");
    if (crossesItself(corners)) return say("The outline crosses itself; take corners back.");
    leave();
    const i = corrections.append([corners], false);
    change([[i, { gone: false }]], "A building was drawn; set its stage.");
    select(found.id[i]);
    showPressed();
  };
  enter({
    help: "Click the corners of the building.",
    buttons: { "Corner at the cross": () => add(pointAt(map.getCenter())), "Corner back": back, Finish: finish },
    click: add,
    key: ({ key }) => ({ " ": () => add(pointAt(map.getCenter())), Enter: finish, Backspace: back })[key],
    shown: [line],
    cross: true,
  });
}

function startSplit() {
  const i = index.get(chosen);
  if (i === undefined || corrections.state(i).gone) return;
  select(chosen, true);
  const { rings, like } = corrections.state(i);
  const { middle, angle, length, width } = rectangleOf(rings[0]);
  let [along, turn] = [0, angle + Math.PI / 2]; // where on the long side the line crosses, and its direction
  let ends = null; // two clicks instead
  const line = L.polyline([], { color: "#fff", weight: 3, dashArray: "6 4", interactive: false }).addTo(map);
  const current = () => {
    if (ends?.length === 2) return ends;
    const at = [middle[0] + along * Math.cos(angle), middle[1] + along * Math.sin(angle)];
    const reach = (length + width) / 2;
    return [-1, 1].map((side) => [at[0] + side * reach * Math.cos(turn), at[1] + side * reach * Math.sin(turn)]);
  };
  const show = () => line.setLatLngs((ends?.length === 1 ? ends : current()).map(toLatLng));
  const cut = () => {
    const parts = cutAlong(rings, ...current());
    if (typeof parts === "string") return say(parts);
    leave();
    const sorted = parts.sort((a, b) => areaOf(b) - areaOf(a));
    const more = corrections.append(sorted[1], like);
    change([[i, { rings: sorted[0] }], [more, { gone: false, stage: corrections.state(i).stage }]], `Building ${chosen} was split; the new part is ${found.id[more]}.`);
  };
  const move = (by, angleBy) => {
    ends = null;
    along = Math.max(-length / 2, Math.min(length / 2, along + by));
    turn += angleBy;
    show();
  };
  map.keyboard.disable();
  enter({
    help: "Cut at the line, or click two points of another line.",
    buttons: { Cut: cut },
    click: (point) => {
      ends = ends?.length === 1 ? [...ends, point] : [point];
      show();
    },
    key: ({ key }) => ({
      Enter: cut, ArrowRight: () => move(length / 40, 0), ArrowLeft: () => move(-length / 40, 0),
      ArrowUp: () => move(0, Math.PI / 36), ArrowDown: () => move(0, -Math.PI / 36),
    })[key],
    shown: [line],
  });
  map.keyboard.disable();
  show();
}

/* Clicks and keys. */

map.on("click", ({ latlng }) => {
  const point = pointAt(latlng);
  if (mode) return mode.click(point);
  const i = layers.buildings.at([latlng.lng, -latlng.lat], 4 / 2 ** map.getZoom());
  if (i >= 0) select(found.id[i]);
});
map.on("mousemove", ({ latlng }) => {
  const over = !mode && layers.buildings.at([latlng.lng, -latlng.lat], 0) >= 0;
  byId("map").style.cursor = mode ? "crosshair" : over ? "pointer" : "";
});
byId("look").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea, summary")) return;
  const onButton = event.target.matches("button") && ["Enter", " "].includes(event.key);
  const act = mode
    ? event.key === "Escape" ? () => leave("Cancelled.") : onButton ? null : mode.key(event)
    : actions[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}, true);
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !event.target.matches("input, textarea")) {
    event.preventDefault();
    undo();
  }
});

/* The file, and the browser's storage. */

byId("download").addEventListener("click", () => {
  const text = JSON.stringify(corrections.toGeoJSON((point) => places.at(point)));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/geo+json" }));
  link.download = editing.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  unsaved = false;
});

function take(text, from) {
  try {
    if (corrections.touched().length) throw new Error("this page holds corrections already; load it anew first, or give both files to detect census");
    const changed = corrections.fromGeoJSON(JSON.parse(text), (place) => places.pixel(place));
    refresh(changed);
    showPressed();
    byId("corrections-text").textContent += ` Taken from ${from}.`;
  } catch (error) {
    byId("corrections-text").textContent = `Nothing was taken from ${from}: ${error.message}.`;
  }
}
byId("upload").addEventListener("change", async ({ target }) => {
  if (target.files.length) take(await target.files[0].text(), target.files[0].name);
});
byId("keep").addEventListener("change", () => {
  if (byId("keep").checked) keep();
  else {
    stored((storage) => storage.removeItem(storageKey));
    unsaved = corrections.touched().length > 0;
  }
});
window.addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});
const kept = stored((storage) => storage.getItem(storageKey));
if (kept) {
  byId("keep").checked = true;
  take(kept, "this browser");
}
