"use strict";
/* The page of one scene: buildings on the map, one of them in the panel, beds under edited assumptions. editor.js corrects them. */

const picture = new Picture(readData("picture"));
const found = readData("buildings"); // column → list
found.rings = new Outlines(found.rings);
const outlines = readData("outlines"); // {sites: [{name, rings}], rows: [{row, rings}], ground: [{kind, rings}]}
const assumed = readData("assumptions");
const editing = readData("editing"); // {key, next_id, north_deg, counts, places}
const index = new Map(found.id.map((id, i) => [id, i]));
const css = getComputedStyle(document.documentElement);
const stageColour = Object.fromEntries(["foundation", "incomplete", "complete"].map((s) => [s, css.getPropertyValue(`--${s}`).trim()]));
const byId = (id) => document.getElementById(id);
const LIKE = `${assumed.structure ?? "dormitory"}-like`;
const number = (value) => Math.round(value).toLocaleString("en");

/* The map. */

const RAMP = [[0, 34, 78], [87, 93, 109], [165, 156, 116], [254, 232, 56]]; // cividis, as in the legend
function likenessColour(score) {
  const at = Math.min(score, 0.9999) * (RAMP.length - 1);
  const [low, high] = [RAMP[Math.floor(at)], RAMP[Math.floor(at) + 1]];
  return `rgb(${low.map((v, i) => Math.round(v + (high[i] - v) * (at % 1))).join(",")})`;
}

// Without plots the scene is the site.
const wholeScene = [[[0, 0], [picture.width, 0], [picture.width, picture.height], [0, picture.height]]];
const sites = outlines.sites.length ? outlines.sites : [{ name: Object.keys(editing.counts)[0], rings: wholeScene }];
const corrections = new Corrections(found, { ...editing, assumptions: assumed, gsd_m: picture.gsd_m, sites });

let colourBy = "stage";
function look(i) {
  const state = corrections.states.get(i); // not `corrections.state`, which unpacks the outline
  if (state?.gone) return { colour: "#e33", fill: 0, thick: false, dashed: true };
  const [stage, like] = state ? [state.stage, state.like] : [found.stage[i], found.dormitory_like[i]];
  const byStage = colourBy === "stage";
  const colour = byStage ? stageColour[stage] : likenessColour(found.dormitory_score[i]);
  return { colour, fill: byStage ? (like ? 0.35 : 0.12) : 0.5, thick: like, dashed: false };
}

const map = openMap(byId("map"), picture);
const layers = {
  ground: L.layerGroup(), rows: L.layerGroup(), sites: L.layerGroup(),
  buildings: new OutlineLayer(found, look, { minZoom: -12, maxZoom: 4, keepBuffer: 1, zIndex: 2 }),
};
for (const { kind, rings } of outlines.ground) {
  const look = kind === "pad" ? { color: "#fff", weight: 1.5, fillOpacity: 0.1 } : { stroke: false, fillColor: "#c8a26b", fillOpacity: 0.4 };
  L.polygon(rings.map((ring) => ring.map(toLatLng)), { ...look, interactive: false }).addTo(layers.ground);
}
for (const { rings } of outlines.rows) {
  L.polygon(rings.map((ring) => ring.map(toLatLng)), { color: "#fff", weight: 1.2, dashArray: "2 4", fill: false, interactive: false }).addTo(layers.rows);
}
for (const { name, rings } of outlines.sites) drawSite(layers.sites, name, rings);
const marked = L.polygon([], { color: "#fff", weight: 3, fill: false, interactive: false });

for (const box of document.querySelectorAll("input[name=layer]")) {
  const show = () => (box.checked ? layers[box.value].addTo(map) : layers[box.value].remove());
  box.addEventListener("change", show);
  show();
}
for (const radio of document.querySelectorAll("input[name=colour]")) {
  radio.addEventListener("change", () => {
    colourBy = radio.value;
    layers.buildings.repaint();
    for (const legend of document.querySelectorAll("[data-legend]")) legend.hidden = legend.dataset.legend !== radio.value;
  });
}

/* One building. */

const WORDS = { changed: "changed", added: "drawn", deleted: "not a building", confirmed: "right as it stands" };

function facts(i) {
  const of = (name) => found[name][i];
  const percent = (p) => `${Math.round(100 * p)} %`;
  const [state, kind] = [corrections.state(i), corrections.kind(i)];
  const drawn = i >= corrections.count;
  const said = drawn || state.like !== of("dormitory_like");
  const known = (name, text) => (of(name) === null ? "" : text(of(name)));
  const [beds, { length, width }] = [corrections.beds(i, state), rectangleOf(state.rings[0])];
  const moved = drawn || state.rings !== (corrections.before.get(i) ?? state).rings;
  const size = moved ? [length * picture.gsd_m, width * picture.gsd_m] : [of("length_m"), of("width_m")];
  const lines = [
    ["corrected", WORDS[kind] ?? ""],
    ["stage", state.stage],
    ["probability", drawn ? "" : ["foundation", "incomplete", "complete"].map((name) => `${name} ${percent(of(`p_${name}`))}`).join(", ")],
    ["a building", known("score", (score) => `${percent(score)} sure`)],
    [LIKE, `${said ? "" : `${of("dormitory_score")}, `}${state.like ? `counted as ${LIKE}` : "not counted"}`],
    ["reasons", said ? "said on this page" : of("dormitory_reasons")],
    ["beds", beds ? number(beds * factor()) : "none counted"],
    ["size", `${size[0].toFixed(1)} × ${size[1].toFixed(1)} m`],
    ["area", `${number(moved ? areaOf(state.rings) * picture.gsd_m ** 2 : of("area_m2"))} m²`],
    ["heading", moved ? "" : `${of("orientation_deg")}° clockwise from ${editing.north_deg === null ? "the top of the picture" : "north"}`],
    ["rectangularity", moved ? "" : of("rectangularity")],
    ["height", moved ? "" : known("height_m", (height) => `${height.toFixed(1)} m, by its shadow`)],
    ["site", corrections.site(i, { ...state }) ?? "outside the sites"],
    ["row", moved ? "" : of("row") || "none"],
    ["place", moved ? "" : of("latitude") === null ? "not known" : `${of("latitude")}, ${of("longitude")}`],
    ["at the edge", of("touches_edge") ? "yes, a part may be missing" : "no"],
  ];
  return lines.filter(([, value]) => value !== "");
}

let chosen = null;
function select(id, zoom = false) {
  const i = index.get(id);
  if (i === undefined) return;
  chosen = id;
  byId("number").value = id;
  byId("panel-title").textContent = `Building ${id}`;
  const list = byId("facts");
  list.replaceChildren();
  for (const [name, value] of facts(i)) {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    text.textContent = value;
    list.append(term, text);
  }
  const canvas = byId("crop");
  canvas.hidden = false;
  canvas.setAttribute("aria-label", `Building ${id} from above, ${corrections.state(i).stage}`);
  picture.drawAround(canvas, found.rings.box(i), found.rings.get(i));
  marked.setLatLngs(found.rings.get(i).map((ring) => ring.map(toLatLng))).addTo(map);
  showPressed();
  if (zoom) {
    const [left, top, right, bottom] = found.rings.box(i);
    map.fitBounds([toLatLng([left, bottom]), toLatLng([right, top])], { padding: [60, 60], maxZoom: Math.log2(picture.gsd_m / 0.12), animate: false });
  }
}

byId("number").addEventListener("change", () => select(Number(byId("number").value), true));
const step = (by) => () => {
  const ids = found.id;
  if (ids.length) select(ids[(Math.max(0, index.get(chosen) ?? (by > 0 ? -1 : 0)) + by + ids.length) % ids.length], true);
};
byId("previous").addEventListener("click", step(-1));
byId("next").addEventListener("click", step(1));

for (const button of document.querySelectorAll("button[data-building]")) {
  const id = Number(button.dataset.building);
  button.addEventListener("click", () => {
    select(id, true);
    byId("look").scrollIntoView({ block: "start" });
    byId("panel").focus({ preventScroll: true });
  });
}
// Crops are cut one after the other once the page stands: those in view first, all of them before it can be printed.
const uncut = new Set(document.querySelectorAll("button[data-building] canvas"));
const inView = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => isIntersecting && cut(target)), { rootMargin: "400px" });
async function cut(canvas) {
  if (!uncut.delete(canvas)) return;
  inView.unobserve(canvas);
  const i = index.get(Number(canvas.closest("button").dataset.building));
  await picture.drawAround(canvas, found.rings.box(i), found.rings.get(i));
}
for (const canvas of uncut) inView.observe(canvas);
window.addEventListener("load", async () => {
  for (const canvas of [...uncut]) {
    await new Promise((resume) => setTimeout(resume, 50)); // the reader comes first
    await cut(canvas);
  }
});

/* Beds under other assumptions: every number of beds is in proportion to rooms × beds per room, and so are the ends of its interval. */

const fields = { storeys: byId("storeys"), rooms: byId("rooms"), beds: byId("beds") };
const value = (field, otherwise) => (field.value !== "" && field.validity.valid ? Number(field.value) : otherwise);
const likely = assumed.rooms_per_building * assumed.beds_per_room;
function factor() {
  const edited = value(fields.rooms, assumed.rooms_per_building) * value(fields.beds, assumed.beds_per_room);
  return likely ? edited / likely : 1; // a structure that houses nobody
}
function showBeds() {
  const by = factor();
  const totals = corrections.totals();
  for (const count of document.querySelectorAll("[data-of]")) {
    const { of, key, estimate, found: seen } = count.dataset;
    const now = key.split(".").reduce((part, name) => part?.[name], totals[of]);
    const factorHere = key.startsWith("beds") ? by : 1;
    const corrected = now !== undefined && now !== Number(seen);
    const [value, low, high, was] = [corrected ? now : estimate, count.dataset.low, count.dataset.high, seen].map((v) => number(v * factorHere));
    const beside = corrected ? "found, corrected" : `${low}–${high}${was === value ? "" : `, found ${was}`}`;
    count.innerHTML = `<b>${value}</b> <small>${beside}</small>`;
  }
  byId("beds-bars").style.setProperty("--by", Math.min(1, by)); // more beds change the scale, fewer shorten the bars
  byId("per-building").textContent = number(likely * by);
  byId("per-building-unit").textContent = Math.round(likely * by) === 1 ? "bed" : "beds";
  byId("edited").hidden = Math.abs(by - 1) < 1e-9;
  if (chosen !== null) select(chosen);
}
fields.storeys.addEventListener("input", () => {
  const rooms = (assumed.rooms_per_building * value(fields.storeys, assumed.storeys)) / assumed.storeys;
  fields.rooms.value = assumed.storeys ? Math.round(100 * rooms) / 100 : assumed.rooms_per_building;
  showBeds();
});
fields.rooms.addEventListener("input", showBeds);
fields.beds.addEventListener("input", showBeds);
byId("reset").addEventListener("click", () => {
  for (const field of Object.values(fields)) field.value = field.defaultValue;
  showBeds();
});
