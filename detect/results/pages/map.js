"use strict";
/* A picture that is held in the page, and a map on it. Coordinates are pixels of the picture's finest level, x right, y down. */

const readData = (id) => JSON.parse(document.getElementById(id).textContent);
// Sizes of bars: the page's policy allows no style in the markup.
for (const part of ["low", "estimate", "high", "share"])
  for (const bar of document.querySelectorAll(`[data-bar-${part}]`)) bar.style.setProperty(`--${part}`, bar.getAttribute(`data-bar-${part}`));
const toLatLng = ([x, y]) => [-y, x]; // Leaflet's y points up

class Picture {
  /** @param data {width, height, tile, whole, gsd_m, tiles}: see detect/results/picture.py */
  constructor(data) {
    Object.assign(this, data);
    this.images = new Map();
    this.coarsest = Math.max(...Object.keys(data.tiles).map((key) => parseInt(key, 10)));
  }

  /** A decoded tile; the least recently used are forgotten, since each takes a megabyte. */
  image(key) {
    let image = this.images.get(key);
    if (image) {
      this.images.delete(key);
    } else {
      const element = new Image();
      element.src = "data:image/jpeg;base64," + this.tiles[key];
      image = element.decode().then(() => element);
    }
    this.images.set(key, image);
    if (this.images.size > 80) this.images.delete(this.images.keys().next().value);
    return image;
  }

  /** Tiles of a level that touch a box, as [key, x, y, side in pixels of the finest level]. */
  tilesAt(level, left, top, right, bottom) {
    const side = this.tile * 2 ** level;
    const found = [];
    for (let row = Math.max(0, Math.floor(top / side)); row * side < Math.min(bottom, this.height); row++) {
      for (let column = Math.max(0, Math.floor(left / side)); column * side < Math.min(right, this.width); column++) {
        const key = `${level}/${column}/${row}`;
        if (key in this.tiles) found.push([key, column * side, row * side, side]);
      }
    }
    return found;
  }

  /** Paint the region that begins at (left, top) at `scale` canvas pixels per pixel: the whole scene's level first, finer tiles above it. */
  async draw(canvas, left, top, scale) {
    const box = [left, top, left + canvas.width / scale, top + canvas.height / scale];
    const wanted = Math.min(this.coarsest, Math.max(0, Math.floor(Math.log2(1 / scale) + 0.01)));
    const tiles = this.tilesAt(Math.max(wanted, this.whole), ...box);
    for (let level = this.whole - 1; level >= 0 && wanted < this.whole; level--) tiles.push(...this.tilesAt(level, ...box));
    const images = await Promise.all(tiles.map(([key]) => this.image(key)));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    tiles.forEach(([, x, y, side], i) => {
      const [x0, x1] = [x, Math.min(x + side, this.width)].map((v) => Math.round((v - left) * scale));
      const [y0, y1] = [y, Math.min(y + side, this.height)].map((v) => Math.round((v - top) * scale));
      context.drawImage(images[i], x0, y0, x1 - x0, y1 - y0);
    });
  }

  /** Paint what lies around a box [left, top, right, bottom], and the polygon (a list of rings) on it. */
  async drawAround(canvas, [left, top, right, bottom], rings) {
    const side = 1.5 * Math.max(right - left, bottom - top, 12 / this.gsd_m);
    const scale = canvas.width / side;
    const [x, y] = [(left + right - side) / 2, (top + bottom - side * (canvas.height / canvas.width)) / 2];
    await this.draw(canvas, x, y, scale);
    const context = canvas.getContext("2d");
    context.beginPath();
    for (const ring of rings) {
      ring.forEach(([px, py], i) => context[i ? "lineTo" : "moveTo"]((px - x) * scale, (py - y) * scale));
      context.closePath();
    }
    for (const [width, colour] of [[4, "rgba(0,0,0,0.6)"], [2, "#fff"]]) {
      Object.assign(context, { lineWidth: width, strokeStyle: colour });
      context.stroke();
    }
  }
}

const PictureLayer = L.GridLayer.extend({
  initialize(picture, options) {
    this.picture = picture;
    L.GridLayer.prototype.initialize.call(this, options);
  },
  createTile(coords, done) {
    const canvas = document.createElement("canvas");
    const size = this.getTileSize().x;
    const scale = 2 ** coords.z; // screen pixels per pixel
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    canvas.width = canvas.height = size * ratio;
    this.picture.draw(canvas, (coords.x * size) / scale, (coords.y * size) / scale, scale * ratio).then(() => done(null, canvas), done);
    return canvas;
  },
});

/** The outline of a site, dashed in white on black, with its name at the top, where it covers few buildings. */
function drawSite(layer, name, rings) {
  const corners = rings.map((ring) => ring.map(toLatLng));
  L.polygon(corners, { color: "#000", weight: 4, fill: false, interactive: false }).addTo(layer);
  L.polygon(corners, { color: "#fff", weight: 2, dashArray: "8 5", fill: false, interactive: false }).addTo(layer);
  const label = document.createElement("span");
  label.textContent = name;
  const highest = rings[0].reduce((a, b) => (b[1] < a[1] ? b : a));
  L.tooltip(toLatLng(highest), { content: label, permanent: true, direction: "top", className: "site" }).addTo(layer);
}

/** Print a map as it stands on the screen, only smaller: tiles are painted too late for a map that paper gives another size. */
function printWhole(map, element) {
  matchMedia("print").addEventListener("change", ({ matches }) => {
    const { x: width, y: height } = map.getSize();
    const zoom = Math.min(1, element.parentElement.clientWidth / width);
    Object.assign(element.style, matches ? { width: `${width}px`, height: `${height}px`, zoom } : { width: "", height: "", zoom: "" });
  });
}

/** A Leaflet map on a picture, in an element; arrow keys move it, + and - zoom. */
function openMap(element, picture) {
  const crs = L.extend({}, L.CRS.Simple, { distance: (a, b) => Math.hypot(a.lat - b.lat, a.lng - b.lng) * picture.gsd_m });
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const map = L.map(element, {
    crs, attributionControl: false, preferCanvas: true, zoomSnap: 0.25, zoomDelta: 0.75, minZoom: -12, maxZoom: 4,
    zoomAnimation: !still, fadeAnimation: !still, inertia: !still, renderer: L.canvas({ padding: 0.3, tolerance: 4 }),
  });
  const bounds = L.latLngBounds(toLatLng([0, picture.height]), toLatLng([picture.width, 0]));
  map.fitBounds(bounds);
  map.setMinZoom(map.getZoom() - 0.5);
  map.setMaxBounds(bounds.pad(0.3));
  new PictureLayer(picture, { bounds, minZoom: -12, maxZoom: 4, keepBuffer: 1 }).addTo(map);
  printWhole(map, element);
  L.control.scale({ imperial: false, position: "bottomleft" }).addTo(map);
  return map;
}
