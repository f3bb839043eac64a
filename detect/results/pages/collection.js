"use strict";
/* All buildings of a collection on a map. They lie in typed arrays, sorted along a curve; blocks of neighbours have a box, so that a
   tile looks at few of them. See detect/results/map_page.py for the arrays. */

const facts = readData("facts-data");
const BLOCK = 256; // buildings with one box
const DOT_ZOOM = 15; // below it a building is a dot
const COLOURS = facts.stages.map((stage) => getComputedStyle(document.documentElement).getPropertyValue(`--${stage}`).trim());

/** The arrays of the page, unpacked. */
async function unpack() {
  const text = document.getElementById("packed").textContent.trim();
  const raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const bytes = await new Response(new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  const kinds = { int32: Int32Array, float32: Float32Array, int16: Int16Array, uint16: Uint16Array, uint8: Uint8Array };
  const arrays = {};
  let offset = 0;
  for (const [name, [kind, length]] of Object.entries(facts.parts)) {
    arrays[name] = new kinds[kind](bytes, offset, length);
    offset += arrays[name].byteLength;
  }
  return arrays;
}

class Buildings {
  constructor(arrays) {
    Object.assign(this, arrays);
    const count = this.x.length;
    this.first = new Uint32Array(count + 1); // where the steps of a building begin
    this.boxes = new Int32Array(4 * Math.ceil(count / BLOCK));
    let step = 0;
    for (let i = 0; i < count; i++) {
      const block = 4 * Math.floor(i / BLOCK);
      if (i % BLOCK === 0) this.boxes.set([2 ** 31 - 1, 2 ** 31 - 1, -(2 ** 31), -(2 ** 31)], block);
      this.first[i] = step;
      let [x, y] = [this.x[i], this.y[i]];
      for (let corner = 0; corner < this.corners[i]; corner++) {
        if (corner) [x, y] = [x + this.steps[step++], y + this.steps[step++]];
        if (x < this.boxes[block]) this.boxes[block] = x;
        if (y < this.boxes[block + 1]) this.boxes[block + 1] = y;
        if (x > this.boxes[block + 2]) this.boxes[block + 2] = x;
        if (y > this.boxes[block + 3]) this.boxes[block + 3] = y;
      }
    }
    this.first[count] = step;
    this.stages = [true, true, true];
    [this.likeOnly, this.day] = [false, -1];
  }

  shown(i) {
    const kind = this.kind[i];
    return this.stages[kind & 3] && (kind > 3 || !this.likeOnly) && (this.day < 0 || this.date[i] === this.day);
  }

  /** Call `use(i)` for each building to be shown whose block touches a box. */
  within(left, top, right, bottom, use) {
    for (let block = 0; block < this.boxes.length; block += 4) {
      const [x0, y0, x1, y1] = [this.boxes[block], this.boxes[block + 1], this.boxes[block + 2], this.boxes[block + 3]];
      if (x1 < left || x0 > right || y1 < top || y0 > bottom) continue;
      const end = Math.min(this.x.length, (block / 4 + 1) * BLOCK);
      for (let i = (block / 4) * BLOCK; i < end; i++) if (this.shown(i)) use(i);
    }
  }

  /** Outline of a building as [x, y] pairs. */
  ring(i) {
    let [x, y, step] = [this.x[i], this.y[i], this.first[i]];
    const ring = [[x, y]];
    for (let corner = 1; corner < this.corners[i]; corner++) ring.push([(x += this.steps[step++]), (y += this.steps[step++])]);
    return ring;
  }

  /** The building at a place, or -1. */
  at(px, py) {
    let found = -1;
    this.within(px, py, px, py, (i) => {
      const ring = this.ring(i);
      let inside = false;
      ring.forEach(([x1, y1], k) => {
        const [x0, y0] = ring[k ? k - 1 : ring.length - 1];
        if (y1 > py !== y0 > py && px < ((x0 - x1) * (py - y1)) / (y0 - y1) + x1) inside = !inside;
      });
      if (inside) found = i;
    });
    return found;
  }
}

const BuildingLayer = L.GridLayer.extend({
  initialize(buildings, options) {
    this.buildings = buildings;
    L.GridLayer.prototype.initialize.call(this, options);
  },
  createTile(coords) {
    const canvas = document.createElement("canvas");
    const size = this.getTileSize().x;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    canvas.width = canvas.height = size * ratio;
    const unit = 2 ** (facts.zoom - coords.z); // pixels of the arrays per pixel of the map
    const [left, top] = [coords.x * size * unit, coords.y * size * unit];
    const draw = coords.z < DOT_ZOOM ? this.dots : this.outlines;
    draw.call(this, canvas, left, top, left + size * unit, top + size * unit, ratio / unit);
    return canvas;
  },
  dots(canvas, left, top, right, bottom, scale) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    const pixels = new Uint32Array(image.data.buffer);
    const inks = COLOURS.map((c) => (0xff000000 | (parseInt(c.slice(5, 7), 16) << 16) | (parseInt(c.slice(3, 5), 16) << 8) | parseInt(c.slice(1, 3), 16)) >>> 0);
    const { x, y, kind } = this.buildings;
    const width = canvas.width;
    const wide = 2;
    this.buildings.within(left, top, right, bottom, (i) => {
      const column = Math.floor((x[i] - left) * scale);
      const row = Math.floor((y[i] - top) * scale);
      for (let dy = 0; dy < wide; dy++) {
        for (let dx = 0; dx < wide; dx++) {
          if (column + dx >= 0 && column + dx < width && row + dy >= 0 && row + dy < width) pixels[(row + dy) * width + column + dx] = inks[kind[i] & 3];
        }
      }
    });
    context.putImageData(image, 0, 0);
  },
  outlines(canvas, left, top, right, bottom, scale) {
    const context = canvas.getContext("2d");
    const paths = Array.from({ length: 8 }, () => new Path2D());
    const { x, y, steps, first, corners, kind } = this.buildings;
    this.buildings.within(left, top, right, bottom, (i) => {
      const path = paths[kind[i]];
      let [px, py, step] = [x[i], y[i], first[i]];
      path.moveTo((px - left) * scale, (py - top) * scale);
      for (let corner = 1; corner < corners[i]; corner++) {
        px += steps[step++];
        py += steps[step++];
        path.lineTo((px - left) * scale, (py - top) * scale);
      }
      path.closePath();
    });
    paths.forEach((path, k) => {
      context.fillStyle = COLOURS[k & 3] + (k > 3 ? "d0" : "90");
      context.fill(path);
      context.strokeStyle = k > 3 ? "#000" : "#555";
      context.lineWidth = k > 3 ? 2 : 1;
      context.stroke(path);
    });
  },
});

function showBuilding(buildings, i) {
  const title = document.getElementById("panel-title");
  const list = document.getElementById("facts");
  list.replaceChildren();
  if (i < 0) {
    title.textContent = "Click a building";
    return;
  }
  const scene = facts.scenes[buildings.scene[i]];
  title.textContent = `Building ${buildings.id[i]}`;
  const rows = [
    ["scene", scene.name], ["date", scene.date || "unknown"], ["stage", facts.stages[buildings.kind[i] & 3]],
    ["area", `${Math.round(buildings.area[i]).toLocaleString("en")} m²`], [facts.like_name, buildings.kind[i] > 3 ? "yes" : "no"],
    ["beds", buildings.beds[i].toLocaleString("en")], ["score", (buildings.score[i] / 100).toFixed(2)],
  ];
  for (const [name, value] of rows) {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    [dt.textContent, dd.textContent] = [name, value];
    list.append(dt, dd);
  }
  if (scene.report) {
    const [dt, dd, link] = ["dt", "dd", "a"].map((tag) => document.createElement(tag));
    [dt.textContent, link.textContent, link.href] = ["report", "of the scene", scene.report];
    dd.append(link);
    list.append(dt, dd);
  }
}

async function start() {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const map = L.map("map", { attributionControl: false, preferCanvas: true, maxZoom: 21, zoomAnimation: !still, fadeAnimation: !still, inertia: !still });
  printWhole(map, document.getElementById("map"));
  const [west, south, east, north] = facts.box;
  map.fitBounds([[south, west], [north, east]], { maxZoom: 19 });
  L.control.scale({ imperial: false }).addTo(map);
  const outlines = facts.scenes.map((scene) =>
    L.polygon(scene.ring.map(([lon, lat]) => [lat, lon]), { color: "#333", weight: 1, fill: false, interactive: false }).addTo(map)
  );
  const buildings = new Buildings(await unpack());
  const layer = new BuildingLayer(buildings, { maxZoom: 21, noWrap: true, keepBuffer: 1, updateWhenZooming: false }).addTo(map);
  map.on("click", (event) => {
    const point = map.project(event.latlng, facts.zoom);
    showBuilding(buildings, buildings.at(Math.round(point.x), Math.round(point.y)));
  });
  document.querySelectorAll("input[name=stage]").forEach((box) =>
    box.addEventListener("change", () => {
      buildings.stages[Number(box.value)] = box.checked;
      layer.redraw();
    })
  );
  document.getElementById("like").addEventListener("change", (event) => {
    buildings.likeOnly = event.target.checked;
    layer.redraw();
  });
  document.getElementById("date")?.addEventListener("change", (event) => {
    buildings.day = Number(event.target.value);
    layer.redraw();
  });
  document.querySelectorAll("#scenes button").forEach((button) =>
    button.addEventListener("click", () => {
      map.fitBounds(outlines[Number(button.dataset.scene)].getBounds(), { maxZoom: 19 });
      document.getElementById("map").scrollIntoView({ block: "nearest" });
    })
  );
  document.body.dataset.ready = "1";
  return { map, buildings };
}

const started = start();
