"use strict";
/* Outlines of many buildings on a Leaflet map, painted tile by tile, and the geometry of one. Coordinates are pixels of the picture. */

/** Smallest [left, top, right, bottom] that holds a polygon (a list of rings). */
function boxOf(rings) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of rings[0]) {
    if (x < box[0]) box[0] = x;
    if (y < box[1]) box[1] = y;
    if (x > box[2]) box[2] = x;
    if (y > box[3]) box[3] = y;
  }
  return box;
}

/** Outlines of buildings. Each is unpacked when it is asked for: of very many most are only dots. */
class Outlines {
  /** @param packed for each building its rings, each as [x, y, dx, dy, dx, dy, …] in tenths of a pixel */
  constructor(packed) {
    this.packed = packed;
    this.rings = new Array(packed.length);
  }

  get length() {
    return this.rings.length;
  }

  /** The polygon of a building, a list of rings of [x, y]; always the same object, until `set` gives another. */
  get(i) {
    return (this.rings[i] ??= this.packed[i].map((steps) => {
      const ring = [];
      for (let k = 0, x = 0, y = 0; k < steps.length; k += 2) ring.push([(x += steps[k]) / 10, (y += steps[k + 1]) / 10]);
      return ring;
    }));
  }

  set(i, rings) {
    this.rings[i] = rings;
  }

  push(rings) {
    this.rings.push(rings);
  }

  /** Smallest [left, top, right, bottom] that holds a building. */
  box(i) {
    if (this.rings[i]) return boxOf(this.rings[i]);
    let [left, top, right, bottom, x, y] = [Infinity, Infinity, -Infinity, -Infinity, 0, 0];
    const steps = this.packed[i][0];
    for (let k = 0; k < steps.length; k += 2) {
      x += steps[k];
      y += steps[k + 1];
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      if (y > bottom) bottom = y;
    }
    return [left / 10, top / 10, right / 10, bottom / 10];
  }
}

function isInside([px, py], rings) {
  let inside = false;
  for (const ring of rings) {
    ring.forEach(([x1, y1], k) => {
      const [x0, y0] = ring[k ? k - 1 : ring.length - 1];
      if (y1 > py !== y0 > py && px < ((x0 - x1) * (py - y1)) / (y0 - y1) + x1) inside = !inside;
    });
  }
  return inside;
}

/** Area of a polygon, pixels². */
function areaOf(rings) {
  const areas = rings.map((ring) => {
    const twice = ring.reduce((sum, [x, y], k) => {
      const [x1, y1] = ring[(k + 1) % ring.length];
      return sum + x * y1 - x1 * y;
    }, 0);
    return Math.abs(twice) / 2;
  });
  return areas.slice(1).reduce((sum, hole) => sum - hole, areas[0]);
}

/** The smallest rectangle around a ring: {length, width, angle of the long side, middle}. One of its sides lies on an edge of the hull. */
function rectangleOf(ring) {
  let best = null;
  const hull = hullOf(ring);
  hull.forEach(([x0, y0], k) => {
    const [x1, y1] = hull[(k + 1) % hull.length];
    const angle = Math.atan2(y1 - y0, x1 - x0);
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const [us, vs] = [hull.map(([x, y]) => x * cos + y * sin), hull.map(([x, y]) => y * cos - x * sin)];
    const [u0, u1, v0, v1] = [Math.min(...us), Math.max(...us), Math.min(...vs), Math.max(...vs)];
    const area = (u1 - u0) * (v1 - v0);
    if (best !== null && area >= best.area) return;
    const [u, v] = [(u0 + u1) / 2, (v0 + v1) / 2];
    const middle = [u * cos - v * sin, u * sin + v * cos];
    const along = u1 - u0 >= v1 - v0;
    best = { area, length: Math.max(u1 - u0, v1 - v0), width: Math.min(u1 - u0, v1 - v0), angle: along ? angle : angle + Math.PI / 2, middle };
  });
  return best;
}

/** Convex hull (Andrew 1979). */
function hullOf(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const turns = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
  const half = (list) => {
    const chain = [];
    for (const point of list) {
      while (chain.length > 1 && turns(chain[chain.length - 2], chain[chain.length - 1], point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

/** Two polygons on both sides of the line through a and b, or a text that says why not. */
function cutAlong(rings, [ax, ay], [bx, by]) {
  const side = ([x, y]) => (bx - ax) * (y - ay) - (by - ay) * (x - ax) || 1e-9;
  if (rings.slice(1).some((hole) => hole.some((p) => side(p) > 0 !== side(hole[0]) > 0))) return "The line crosses a courtyard.";
  const parts = [[], []];
  let crossings = 0;
  rings[0].forEach((point, k) => {
    const next = rings[0][(k + 1) % rings[0].length];
    const [here, there] = [side(point), side(next)];
    parts[here > 0 ? 0 : 1].push(point);
    if (here > 0 === there > 0) return;
    crossings += 1;
    const share = here / (here - there);
    const cut = point.map((v, axis) => Math.round(10 * (v + share * (next[axis] - v))) / 10);
    parts.forEach((part) => part.push(cut));
  });
  if (crossings !== 2) return crossings ? "The line crosses the outline more than twice." : "The line misses the building.";
  return parts.map((part) => [part, ...rings.slice(1).filter((hole) => isInside(hole[0], [part]))]);
}

/** Whether edges of a ring cross each other. */
function crossesItself(ring) {
  const turn = (o, a, b) => Math.sign((a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]));
  const edges = ring.map((point, k) => [point, ring[(k + 1) % ring.length]]);
  return edges.some(([a, b], i) =>
    edges.some(([c, d], j) => j > i && turn(a, b, c) * turn(a, b, d) < 0 && turn(c, d, a) * turn(c, d, b) < 0)
  );
}

/** Buildings on the map; `table` is {rings: Outlines}, `look(i)` gives {colour, fill (opacity), thick, dashed} or null. */
const OutlineLayer = L.GridLayer.extend({
  initialize(table, look, options) {
    [this.table, this.look, this.boxes] = [table, look, []];
    L.GridLayer.prototype.initialize.call(this, options);
  },
  box(i) {
    return (this.boxes[i] ??= this.table.rings.box(i));
  },
  createTile(coords) {
    const canvas = document.createElement("canvas");
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    canvas.width = canvas.height = this.getTileSize().x * ratio;
    this.paint(canvas, coords, ratio);
    return canvas;
  },
  /** Box of a tile with a margin for lines that reach into it. */
  tileBox(coords) {
    const side = this.getTileSize().x / 2 ** coords.z;
    const margin = 6 / 2 ** coords.z;
    return [coords.x * side - margin, coords.y * side - margin, (coords.x + 1) * side + margin, (coords.y + 1) * side + margin];
  },
  touching([left, top, right, bottom], use) {
    for (let i = 0; i < this.table.rings.length; i++) {
      const [x0, y0, x1, y1] = this.box(i);
      if (x1 >= left && x0 <= right && y1 >= top && y0 <= bottom) use(i);
    }
  },
  paint(canvas, coords, ratio) {
    const context = canvas.getContext("2d");
    const scale = 2 ** coords.z * ratio;
    const side = this.getTileSize().x / 2 ** coords.z;
    const [left, top] = [coords.x * side, coords.y * side];
    let ink = null;
    const groups = new Map(); // look → path, so that many buildings are one stroke
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.touching(this.tileBox(coords), (i) => {
      const look = this.look(i);
      const [x0, y0, x1, y1] = this.box(i);
      if (Math.max(x1 - x0, y1 - y0) * scale < 4 * ratio) {
        if (look.dashed) return;
        if (look.colour !== ink) context.fillStyle = ink = look.colour; // setting it is slow
        context.fillRect((x0 - left) * scale, (y0 - top) * scale, Math.max(ratio, (x1 - x0) * scale), Math.max(ratio, (y1 - y0) * scale));
        return;
      }
      const name = `${look.colour} ${look.thick} ${look.dashed}`;
      if (!groups.has(name)) groups.set(name, [look, new Path2D()]);
      const path = groups.get(name)[1];
      for (const ring of this.table.rings.get(i)) {
        ring.forEach(([x, y], k) => path[k ? "lineTo" : "moveTo"]((x - left) * scale, (y - top) * scale));
        path.closePath();
      }
    });
    context.lineJoin = "round";
    for (const [look, path] of groups.values()) {
      context.setLineDash(look.dashed ? [5 * ratio, 4 * ratio] : []);
      const width = (look.thick ? 3 : 1.8) * ratio;
      Object.assign(context, { lineWidth: width + 2 * ratio, strokeStyle: "rgba(0,0,0,0.6)" });
      context.stroke(path);
      Object.assign(context, { globalAlpha: look.fill, fillStyle: look.colour });
      context.fill(path, "evenodd");
      Object.assign(context, { globalAlpha: 1, lineWidth: width, strokeStyle: look.colour });
      context.stroke(path);
    }
  },
  /** Paint again what lies in a box; everything without one. */
  repaint(box) {
    for (const { el, coords } of Object.values(this._tiles ?? {})) {
      const [left, top, right, bottom] = this.tileBox(coords);
      if (!box || (box[2] >= left && box[0] <= right && box[3] >= top && box[1] <= bottom)) this.paint(el, coords, el.width / this.getTileSize().x);
    }
  },
  /** The smallest building at a place, or -1; `reach` is how far beside it a click may be. */
  at([x, y], reach) {
    let [best, size] = [-1, Infinity];
    for (const margin of [0, reach]) {
      this.touching([x - margin, y - margin, x + margin, y + margin], (i) => {
        const [x0, y0, x1, y1] = this.box(i);
        if ((margin || isInside([x, y], this.table.rings.get(i))) && (x1 - x0) * (y1 - y0) < size) [best, size] = [i, (x1 - x0) * (y1 - y0)];
      });
      if (best >= 0) return best;
    }
    return best;
  },
});
