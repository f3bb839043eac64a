"use strict";
/* The page of a series: a slider over the dates moves the map and the charts; one building's history in the panel. */

const { dates, frame, states, unseenShare, counted, structure } = readData("series");
const found = readData("buildings"); // column → list; `states` has one digit a date
const pictures = readData("pictures"); // JPEG in base64 a date, or null
const unseen = readData("unseen");
const index = new Map(found.id.map((id, i) => [id, i]));
const css = getComputedStyle(document.documentElement);
const colour = Object.fromEntries(["foundation", "incomplete", "complete"].map((s) => [s, css.getPropertyValue(`--${s}`).trim()]));
const accent = css.getPropertyValue("--accent").trim();
const byId = (id) => document.getElementById(id);
const number = (value) => Math.round(value).toLocaleString("en");
const numberOf = (value, noun) => `${number(value)} ${noun}${Math.round(value) === 1 ? "" : "s"}`;
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
let shown = dates.length - 1;

/* The map. */

const crs = L.extend({}, L.CRS.Simple, { distance: (a, b) => Math.hypot(a.lat - b.lat, a.lng - b.lng) / frame.px_per_m });
const map = L.map("map", {
  crs, attributionControl: false, preferCanvas: true, zoomSnap: 0.25, zoomDelta: 0.75, minZoom: -12, maxZoom: 5,
  zoomAnimation: !still, fadeAnimation: false, inertia: !still, renderer: L.canvas({ padding: 0.3, tolerance: 4 }),
});
const bounds = L.latLngBounds(toLatLng([0, frame.height]), toLatLng([frame.width, 0]));
map.fitBounds(bounds);
map.setMinZoom(map.getZoom() - 0.5);
map.setMaxBounds(bounds.pad(0.3));
printWhole(map, byId("map"));
L.control.scale({ imperial: false, position: "bottomleft" }).addTo(map);

const layers = { picture: L.layerGroup(), buildings: L.layerGroup(), sites: L.layerGroup() };
const picture = L.imageOverlay("data:,", bounds, { interactive: false }).addTo(layers.picture);
const veil = L.layerGroup().addTo(layers.picture);
const corners = (rings) => rings.map((ring) => ring.map(toLatLng));
const polygons = found.rings.map((rings, i) => L.polygon(corners(rings)).on("click", () => select(found.id[i])));
for (const { name, rings } of readData("outlines")) drawSite(layers.sites, name, rings);
const marked = L.polygon([], { color: "#fff", weight: 4, fill: false, interactive: false });
for (const box of document.querySelectorAll("input[name=layer]")) {
  const show = () => (box.checked ? layers[box.value].addTo(map) : layers[box.value].remove());
  box.addEventListener("change", show);
  show();
}

function style(i) {
  const state = states[found.states[i][shown]];
  if (state === "demolished") return { color: "#b33", weight: 1.5, dashArray: "3 3", fillOpacity: 0.1, fillColor: "#b33" };
  const isNew = found.change[i] === "new";
  return { color: isNew ? accent : "#222", weight: isNew ? 3 : 1.2, dashArray: null, fillColor: colour[state], fillOpacity: 0.4 };
}

function showDate(at) {
  shown = at;
  byId("date").value = at;
  byId("date").setAttribute("aria-valuetext", dates[at]);
  byId("date-text").textContent = dates[at];
  const image = pictures[at];
  picture.setUrl(image ? `data:image/jpeg;base64,${image}` : "data:,").setOpacity(image ? 1 : 0);
  veil.clearLayers();
  for (const rings of unseen[at]) {
    L.polygon(corners(rings), { stroke: false, fillColor: "#999", fillOpacity: image ? 0.35 : 0.7, interactive: false }).addTo(veil);
  }
  const counts = counted[at]; // of all buildings; the map may have fewer
  polygons.forEach((polygon, i) => {
    const state = states[found.states[i][at]];
    if (state === "absent") return polygon.remove();
    polygon.setStyle(style(i)).addTo(layers.buildings);
  });
  byId("at-date").textContent =
    `${dates[at]}: ${numberOf(counts.foundation + counts.incomplete + counts.complete, "building")}, of which ${number(counts.complete)} complete, ` +
    `${number(counts.incomplete)} incomplete, ${numberOf(counts.foundation, "foundation")}; ${number(counts.demolished)} gone.` +
    (unseenShare[at] >= 0.01 ? ` ${Math.round(100 * unseenShare[at])} % of the ground was not seen.` : "");
  for (const chart of document.querySelectorAll(".timeline")) {
    const x = chart.querySelectorAll(".interval")[at].getAttribute("x1");
    const line = chart.querySelector(".now");
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
  [...byId("strip").children].forEach((item, t) => item.classList.toggle("now", t === at));
}
byId("date").addEventListener("input", () => showDate(Number(byId("date").value)));

let timer = null;
byId("play").addEventListener("click", () => {
  const stop = timer !== null;
  clearInterval(timer);
  timer = stop ? null : setInterval(() => showDate((shown + 1) % dates.length), 1200);
  byId("play").textContent = stop ? "Play" : "Stop";
  byId("play").setAttribute("aria-pressed", String(!stop));
});

/* One building. */

function select(id) {
  const i = index.get(id);
  if (i === undefined) return;
  byId("number").value = id;
  byId("panel-title").textContent = `Building no. ${id}`;
  const strip = [...found.states[i]].map((digit, t) => {
    const item = document.createElement("li");
    item.className = states[digit];
    item.title = `${dates[t]}: ${states[digit]}`;
    item.classList.toggle("now", t === shown);
    return item;
  });
  byId("strip").replaceChildren(...strip);
  const turns = dates.map((date, t) => [date, states[found.states[i][t]]]).filter(([, s], t, all) => s !== "absent" && (t === 0 || all[t - 1][1] !== s));
  const facts = [
    ["change", found.change[i]], ["first seen", found.first_seen[i]], ["last seen", found.last_seen[i]],
    ...turns.map(([date, state]) => [state === "demolished" ? "gone" : state, `from ${date}`]),
    ["stands now", `${Math.round(100 * found.p_standing[i])} % sure`], ["area", `${number(found.area_m2[i])} m²`],
    [`${structure}-like`, found.dormitory_like[i] ? `yes, ${numberOf(found.beds[i], "bed")}` : "no"], ["site", found.site[i] ?? "–"],
  ];
  byId("facts").replaceChildren(...facts.flatMap(([term, text]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = term;
    dd.textContent = text;
    return [dt, dd];
  }));
  marked.setLatLngs(corners(found.rings[i])).addTo(map);
  map.panInside(marked.getBounds().getCenter(), { padding: [80, 80], animate: !still });
}
const step = (by) => {
  const at = index.get(Number(byId("number").value));
  select(found.id[at === undefined ? 0 : (at + by + found.id.length) % found.id.length]);
};
byId("number").addEventListener("change", () => select(Number(byId("number").value)));
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));

showDate(shown);
