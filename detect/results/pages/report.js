"use strict";
/* The page of one scene: buildings on the map, one of them in the panel, beds under edited assumptions. */

const picture = new Picture(readData("picture"));
const found = readData("buildings"); // column → list
const outlines = readData("outlines"); // {sites: [{name, rings}], rows: [{row, rings}], ground: [{kind, rings}]}
const assumed = readData("assumptions");
const index = new Map(found.id.map((id, i) => [id, i]));
const css = getComputedStyle(document.documentElement);
const stageColour = Object.fromEntries(["foundation", "incomplete", "complete"].map((s) => [s, css.getPropertyValue(`--${s}`).trim()]));
const byId = (id) => document.getElementById(id);
const number = (value) => Math.round(value).toLocaleString("en");

/* The map. */

const RAMP = [[0, 34, 78], [87, 93, 109], [165, 156, 116], [254, 232, 56]]; // cividis, as in the legend
function likenessColour(score) {
  const at = Math.min(score, 0.9999) * (RAMP.length - 1);
  const [low, high] = [RAMP[Math.floor(at)], RAMP[Math.floor(at) + 1]];
  return `rgb(${low.map((v, i) => Math.round(v + (high[i] - v) * (at % 1))).join(",")})`;
}

function style(i, by) {
  const colour = by === "stage" ? stageColour[found.stage[i]] : likenessColour(found.dormitory_score[i]);
  const like = found.dormitory_like[i];
  const fill = by === "stage" ? (like ? 0.35 : 0.12) : 0.5;
  return { color: colour, fillColor: colour, weight: like ? 3 : 1.8, fillOpacity: fill };
}

const map = openMap(byId("map"), picture);
const layers = { ground: L.layerGroup(), buildings: L.layerGroup(), rows: L.layerGroup(), sites: L.layerGroup() };
const polygons = found.rings.map((rings, i) => {
  const corners = rings.map((ring) => ring.map(toLatLng));
  L.polygon(corners, { color: "#000", opacity: 0.6, weight: found.dormitory_like[i] ? 5 : 3.6, fill: false, interactive: false }).addTo(layers.buildings);
  return L.polygon(corners, style(i, "stage")).on("click", () => select(found.id[i])).addTo(layers.buildings);
});
for (const { kind, rings } of outlines.ground) {
  const look = kind === "pad" ? { color: "#fff", weight: 1.5, fillOpacity: 0.1 } : { stroke: false, fillColor: "#c8a26b", fillOpacity: 0.4 };
  L.polygon(rings.map((ring) => ring.map(toLatLng)), { ...look, interactive: false }).addTo(layers.ground);
}
for (const { rings } of outlines.rows) {
  L.polygon(rings.map((ring) => ring.map(toLatLng)), { color: "#fff", weight: 1.2, dashArray: "2 4", fill: false, interactive: false }).addTo(layers.rows);
}
for (const { name, rings } of outlines.sites) {
  const corners = rings.map((ring) => ring.map(toLatLng));
  L.polygon(corners, { color: "#000", weight: 4, fill: false, interactive: false }).addTo(layers.sites);
  const label = document.createElement("span");
  label.textContent = name;
  L.polygon(corners, { color: "#fff", weight: 2, dashArray: "8 5", fill: false, interactive: false }).addTo(layers.sites);
  const highest = rings[0].reduce((a, b) => (b[1] < a[1] ? b : a));
  L.tooltip(toLatLng(highest), { content: label, permanent: true, direction: "top", className: "site" }).addTo(layers.sites);
}
const marked = L.polygon([], { color: "#fff", weight: 3, fill: false, interactive: false });

for (const box of document.querySelectorAll("input[name=layer]")) {
  const show = () => (box.checked ? layers[box.value].addTo(map) : layers[box.value].remove());
  box.addEventListener("change", show);
  show();
}
for (const radio of document.querySelectorAll("input[name=colour]")) {
  radio.addEventListener("change", () => {
    polygons.forEach((polygon, i) => polygon.setStyle(style(i, radio.value)));
    for (const legend of document.querySelectorAll("[data-legend]")) legend.hidden = legend.dataset.legend !== radio.value;
  });
}

/* One building. */

const box = (i) => {
  const [xs, ys] = [0, 1].map((axis) => found.rings[i][0].map((point) => point[axis]));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
};

function facts(i) {
  const of = (name) => found[name][i];
  const percent = (p) => `${Math.round(100 * p)} %`;
  const lines = [
    ["stage", of("stage")],
    ["probability", ["foundation", "incomplete", "complete"].map((name) => `${name} ${percent(of(`p_${name}`))}`).join(", ")],
    ["a building", `${percent(of("score"))} sure`],
    ["dormitory-like", `${of("dormitory_score")}, ${of("dormitory_like") ? "counted as dormitory-like" : "not counted"}`],
    ["reasons", of("dormitory_reasons")],
    ["beds", of("beds") ? number(of("beds") * factor()) : "none counted"],
    ["size", `${of("length_m").toFixed(1)} × ${of("width_m").toFixed(1)} m`],
    ["area", `${number(of("area_m2"))} m²`],
    ["heading", `${of("orientation_deg")}° clockwise from north`],
    ["rectangularity", of("rectangularity")],
    ["height", of("height_m") === null ? "" : `${of("height_m").toFixed(1)} m, by its shadow`],
    ["site", of("site") ?? "outside the sites"],
    ["row", of("row") || "none"],
    ["place", of("latitude") === null ? "not known" : `${of("latitude")}, ${of("longitude")}`],
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
  canvas.setAttribute("aria-label", `Building ${id} from above, ${found.stage[i]}`);
  picture.drawAround(canvas, box(i), found.rings[i]);
  marked.setLatLngs(found.rings[i].map((ring) => ring.map(toLatLng))).addTo(map);
  if (zoom) {
    const [left, top, right, bottom] = box(i);
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
// Crops are cut when they come into view, so that a phone decodes what it shows.
const cut = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    cut.unobserve(target);
    const i = index.get(Number(target.closest("button").dataset.building));
    picture.drawAround(target, box(i), found.rings[i]);
  }
}, { rootMargin: "400px" });
for (const canvas of document.querySelectorAll("button[data-building] canvas")) cut.observe(canvas);

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
  for (const count of document.querySelectorAll("[data-beds]")) {
    const [estimate, low, high] = ["estimate", "low", "high"].map((key) => number(count.dataset[key] * by));
    count.innerHTML = `<b>${estimate}</b> <small>${low}–${high}</small>`;
  }
  byId("beds-bars").style.setProperty("--by", Math.min(1, by)); // more beds change the scale, fewer shorten the bars
  byId("per-building").textContent = number(likely * by);
  byId("edited").hidden = Math.abs(by - 1) < 1e-9;
  if (chosen !== null) select(chosen);
}
fields.storeys.addEventListener("input", () => {
  fields.rooms.value = Math.round((assumed.rooms_per_building * value(fields.storeys, assumed.storeys)) / assumed.storeys);
  showBeds();
});
fields.rooms.addEventListener("input", showBeds);
fields.beds.addEventListener("input", showBeds);
byId("reset").addEventListener("click", () => {
  for (const field of Object.values(fields)) field.value = field.defaultValue;
  showBeds();
});
