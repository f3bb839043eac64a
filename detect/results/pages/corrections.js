"use strict";
/* What a reader corrected: state, undo, totals, and the GeoJSON that `detect census --review` takes. No element of the page is touched here. */

const STAGES = ["foundation", "incomplete", "complete"];

class Corrections {
  /**
   * @param found column → list, one entry a building, `rings` as Outlines; drawn buildings are appended
   * @param facts {next_id, sites: [{name, rings}], counts: {name: counts}, assumptions, gsd_m}
   */
  constructor(found, facts) {
    Object.assign(this, { found, facts });
    this.count = found.id.length; // of those that were found
    this.before = new Map(); // i → state as found
    this.states = new Map(); // i → state now, of those that were ever touched
    this.steps = []; // for undo: lists of [i, state before]
  }

  /** {stage, like, gone, right, rings} of a building; `right` is: confirmed as it stands. */
  state(i) {
    return this.states.get(i) ?? { stage: this.found.stage[i], like: this.found.dormitory_like[i], gone: false, right: false, rings: this.found.rings.get(i) };
  }

  /** Change buildings, as one step: a list of [i, part of a state]. */
  change(changes) {
    this.steps.push(changes.map(([i]) => [i, this.state(i)]));
    for (const [i, part] of changes) this._set(i, { ...this.state(i), right: false, ...part });
  }

  _set(i, state) {
    if (!this.before.has(i)) this.before.set(i, this.state(i));
    this.states.set(i, state);
    this.found.rings.set(i, state.rings);
  }

  /** Numbers of the buildings that changed back; empty if there was nothing to undo. */
  undo() {
    const step = this.steps.pop() ?? [];
    for (const [i, state] of step) this._set(i, state);
    return step.map(([i]) => i);
  }

  /** Append a building; it is there once `change` says so. Returns its place in the table. */
  append(rings, like) {
    const i = this.found.id.length;
    const { length, width, angle } = rectangleOf(rings[0]);
    const values = {
      id: this.facts.next_id + i - this.count, stage: "complete", dormitory_like: like, rings, length_m: length * this.facts.gsd_m, width_m: width * this.facts.gsd_m,
      area_m2: areaOf(rings) * this.facts.gsd_m ** 2, site: null, dormitory_score: Number(like), dormitory_reasons: "said on this page",
      orientation_deg: Math.round((((angle * 180) / Math.PI + 90 - (this.facts.north_deg ?? 0)) % 180 + 180) % 180), touches_edge: false,
    };
    for (const [name, column] of Object.entries(this.found)) column.push(values[name] ?? null);
    this.before.set(i, { ...this.state(i), gone: true });
    this.states.set(i, this.before.get(i));
    return i;
  }

  /** What was done to a building: "added", "deleted", "changed", "confirmed", or "" */
  kind(i) {
    if (!this.states.has(i)) return "";
    const [was, now] = [this.before.get(i), this.states.get(i)];
    if (i >= this.count) return now.gone ? "" : "added";
    if (now.gone) return "deleted";
    if (was.stage !== now.stage || was.like !== now.like || was.rings !== now.rings) return "changed";
    return now.right ? "confirmed" : "";
  }

  /** Buildings that differ from what was found, or are confirmed, in the order of the table. */
  touched() {
    return [...this.states.keys()].filter((i) => this.kind(i)).sort((a, b) => a - b);
  }

  /** {added, deleted, changed, confirmed}: how many of each. */
  summary() {
    const count = { changed: 0, added: 0, deleted: 0, confirmed: 0 };
    for (const i of this.touched()) count[this.kind(i)] += 1;
    return count;
  }

  /** How many more buildings of a stage, or dormitory-like ones ("like"), there are than were found, wherever they stand. */
  more(what) {
    const is = (state) => Number(!state.gone && (what === "like" ? state.like : state.stage === what));
    return this.touched().reduce((sum, i) => sum + is(this.state(i)) - is(this.before.get(i)), 0);
  }

  /** Beds of a building once it is finished. */
  beds(i, state) {
    const { rooms_per_metre: perMetre, beds_per_room: each, rooms_per_building: rooms, storeys } = this.facts.assumptions;
    const was = this.before.get(i);
    if (!state.like) return 0;
    if (i < this.count && (!was || (was.rings === state.rings && was.like))) return this.found.beds[i];
    if (!perMetre) return evenly(rooms * each);
    const length = i < this.count && state.rings === was.rings ? this.found.length_m[i] : rectangleOf(state.rings[0]).length * this.facts.gsd_m;
    return evenly(evenly(length * storeys * perMetre) * each);
  }

  /** The site that holds most of a polygon, if at least half of it lies in sites: by points on a grid. */
  site(i, state) {
    if (i < this.count && state.rings === (this.before.get(i) ?? state).rings) return this.found.site[i];
    const { sites } = this.facts;
    const [left, top, right, bottom] = boxOf(state.rings);
    const held = new Map();
    let [inside, points] = [0, 0];
    for (let row = 0.5; row < 24; row++) {
      for (let column = 0.5; column < 24; column++) {
        const point = [left + ((right - left) * column) / 24, top + ((bottom - top) * row) / 24];
        if (!isInside(point, state.rings)) continue;
        points += 1;
        const names = new Set(sites.filter((site) => isInside(point, site.rings)).map((site) => site.name));
        inside += names.size > 0;
        for (const name of names) held.set(name, (held.get(name) ?? 0) + 1);
      }
    }
    const best = [...held].sort((a, b) => b[1] - a[1])[0];
    return best && inside >= points / 2 ? best[0] : null;
  }

  /** Counts per site name, and of "" for all sites, after the corrections: {buildings, by_stage, dormitory_like, beds: {now, when_complete}}. */
  totals() {
    const counts = structuredClone(this.facts.counts);
    const add = (i, state, sign) => {
      const site = this.site(i, state);
      const beds = this.beds(i, state);
      for (const count of site === null ? [] : [counts[site], counts[""]]) {
        count.buildings += sign;
        count.by_stage[state.stage] += sign;
        if (!state.like) continue;
        count.dormitory_like += sign;
        count.beds.when_complete += sign * beds;
        if (state.stage === "complete") count.beds.now += sign * beds;
      }
    };
    for (const i of this.touched()) {
      if (i < this.count) add(i, this.before.get(i), -1);
      const now = this.states.get(i);
      if (!now.gone) add(i, now, 1);
    }
    return counts;
  }

  /** A GeoJSON FeatureCollection; `place` turns [x, y] into [longitude, latitude]. */
  toGeoJSON(place) {
    const closed = (ring) => [...ring, ring[0]].map((point) => place(point).map((v) => Math.round(v * 1e9) / 1e9));
    const features = this.touched().map((i) => {
      const [state, kind] = [this.state(i), this.kind(i)];
      return {
        type: "Feature",
        properties: {
          id: kind === "added" ? null : this.found.id[i], correction: kind, stage: state.stage, dormitory_like: state.like,
          redrawn: kind === "added" || state.rings !== this.before.get(i).rings,
        },
        geometry: { type: "Polygon", coordinates: state.rings.map(closed) },
      };
    });
    return { type: "FeatureCollection", features };
  }

  /** Take what `toGeoJSON` gave, as one step; `pixel` turns [longitude, latitude] into [x, y]. Returns the changed places in the table. */
  fromGeoJSON(collection, pixel) {
    const index = new Map(this.found.id.map((id, i) => [id, i]));
    const changes = [];
    for (const { properties: said, geometry } of collection.features) {
      if (!["added", "deleted", "changed", "confirmed"].includes(said.correction) || !STAGES.includes(said.stage)) throw new Error("not a file of this page");
      const known = index.get(said.id);
      if (said.correction !== "added" && known === undefined) throw new Error(`building ${said.id} is not on this page`);
      const rings = said.redrawn || said.correction === "added" ? geometry.coordinates.map((ring) => ring.slice(0, -1).map(pixel)) : this.found.rings.get(known);
      const i = said.correction === "added" ? this.append(rings, said.dormitory_like) : known;
      changes.push([i, { stage: said.stage, like: said.dormitory_like, gone: said.correction === "deleted", right: said.correction === "confirmed", rings }]);
    }
    if (changes.length) this.change(changes);
    return changes.map(([i]) => i);
  }
}

/** Rounded; a half goes to the even neighbour, as in the census. */
function evenly(value) {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low % 2) : Math.round(value);
}

/** Between pixels of the picture and a place, by a grid of places {columns, rows, width, height, x: […], y: […]} over the picture. */
class Places {
  constructor(grid) {
    Object.assign(this, grid);
  }

  at([px, py]) {
    const [u, v] = [(px / this.width) * (this.columns - 1), (py / this.height) * (this.rows - 1)];
    const [column, row] = [Math.min(Math.max(0, Math.floor(u)), this.columns - 2), Math.min(Math.max(0, Math.floor(v)), this.rows - 2)];
    const [a, b] = [u - column, v - row];
    return ["x", "y"].map((axis) => {
      const node = (r, c) => this[axis][r * this.columns + c];
      const [top, bottom] = [0, 1].map((r) => node(row + r, column) * (1 - a) + node(row + r, column + 1) * a);
      return top * (1 - b) + bottom * b;
    });
  }

  /** The pixel at a place (Newton's method on `at`, which is nearly affine). */
  pixel([x, y]) {
    let at = [this.width / 2, this.height / 2];
    for (let k = 0; k < 12; k++) {
      const [here, right, below] = [at, [at[0] + 1, at[1]], [at[0], at[1] + 1]].map((p) => this.at(p));
      const [a, b, c, d] = [right[0] - here[0], below[0] - here[0], right[1] - here[1], below[1] - here[1]];
      const [dx, dy, det] = [x - here[0], y - here[1], a * d - b * c];
      at = [at[0] + (d * dx - b * dy) / det, at[1] + (a * dy - c * dx) / det];
    }
    return at.map((v) => Math.round(10 * v) / 10);
  }
}
