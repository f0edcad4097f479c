// Entry and target of every needle as points to drag, drawn over each view, and the needle between them.

import { add, flip, same, spoken } from "./geometry.js";

const SVG = "http://www.w3.org/2000/svg";
const NEAR = 4; // mm from the slice within which a point counts as lying in it
const WAIT = 600; // ms after the last key before a move by keys is sent
const REST = 150; // ms that a dragged point has to rest before onRest
const EDGE = 9; // px: points outside a view wait at its edge

const made = (name, attributes, ...children) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

export class Handles {
  // onPreview(busy): something moves or stopped moving; onCommit(electrode, {entry?, target?}): new places, mm LPS;
  // onRest(electrode, {entry?, target?}): a dragged point rests there, and may go on
  constructor({ onPreview, onCommit, onRest }) {
    Object.assign(this, { onPreview, onCommit, onRest, electrodes: [], drafts: new Map(), overlays: [] });
  }

  // An overlay lies over one tile; `tile()` returns what projects, or null while the view is hidden.
  addOverlay(svg, side, view, tile) {
    const overlay = { svg, side, view, tile, needles: [] };
    svg.classList.toggle("space-view", view === "3d");
    this.overlays.push(overlay);
    this.build(overlay);
  }

  // The case's needles, mm LPS. Drafts end here: the case is what counts.
  setElectrodes(electrodes) {
    const rebuilt = electrodes.length !== this.electrodes.length;
    this.electrodes = electrodes.map(({ entry, target, shaft }) => ({
      entry: flip(entry),
      target: flip(target),
      shaft: (shaft?.length > 1 ? shaft : [entry, target]).map(flip),
    }));
    this.drop();
    if (rebuilt) this.overlays.forEach((overlay) => this.build(overlay));
    this.update();
  }

  // Forget moves that are not sent yet, or were refused.
  drop() {
    clearTimeout(this.timer);
    this.timer = null;
    this.drafts.clear();
    this.onPreview(false);
  }

  get busy() {
    return this.drafts.size > 0;
  }

  cancelDrag() {
    if (!this.release) return false;
    this.release();
    this.drop();
    this.update();
    return true;
  }

  place(number) {
    const draft = this.drafts.get(number);
    const electrode = this.electrodes[number];
    return draft ? { ...draft, shaft: [draft.entry, draft.target] } : electrode;
  }

  move(number, which, by) {
    const { entry, target } = this.place(number);
    const next = { entry, target };
    if (which !== "target") next.entry = add(entry, by);
    if (which !== "entry") next.target = add(target, by);
    this.drafts.set(number, next);
    this.onPreview(true);
    this.update();
  }

  commit() {
    clearTimeout(this.timer);
    this.timer = null;
    for (const number of this.drafts.keys()) {
      const change = this.changeOf(number);
      if (change) this.onCommit(number, change);
      else this.drafts.delete(number);
    }
    if (!this.busy) this.onPreview(false);
  }

  changeOf(number) {
    const draft = this.drafts.get(number);
    if (!draft) return null;
    const moved = ["entry", "target"].filter((which) => !same(draft[which], this.electrodes[number][which]));
    return moved.length ? Object.fromEntries(moved.map((which) => [which, flip(draft[which]).map(rounded)])) : null;
  }

  build(overlay) {
    overlay.svg.replaceChildren();
    overlay.needles = this.electrodes.map((_, number) => {
      const parts = {
        halo: made("path", { class: "needle-halo" }),
        far: made("path", { class: "needle-far" }),
        near: made("path", { class: "needle-near" }),
        grip: made("path", { class: "needle-grip" }),
      };
      overlay.svg.append(parts.halo, parts.far, parts.near, parts.grip);
      this.draggable(parts.grip, overlay, number, "both");
      for (const which of ["entry", "target"]) {
        const shape =
          which === "target"
            ? [made("circle", { r: 6 }), made("path", { d: "M-10 0H-6M6 0H10M0-10V-6M0 6V10" })]
            : [made("rect", { x: -5.5, y: -5.5, width: 11, height: 11 })];
        const label = this.electrodes.length > 1 ? [made("text", { x: 9, y: -7 }, String(number + 1))] : [];
        const handle = made(
          "g",
          {
            class: `handle ${which}`,
            role: "button",
            "aria-roledescription": "movable point",
            tabindex: overlay.view === "axial" && overlay.side === "a" ? 0 : -1,
            "data-handle": `${number}-${which}`,
            "data-view": overlay.view,
            "data-side": overlay.side,
          },
          made("circle", { class: "reach", r: 12 }),
          ...shape,
          ...label,
        );
        overlay.svg.append(handle);
        this.draggable(handle, overlay, number, which);
        this.movableByKeys(handle, overlay, number, which);
        parts[which] = handle;
      }
      return parts;
    });
  }

  draggable(node, overlay, number, which) {
    node.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      event.stopPropagation();
      if (node.focus && which !== "both") node.focus({ preventScroll: true });
      node.setPointerCapture(event.pointerId);
      overlay.svg.classList.add("dragging");
      let last = [event.clientX, event.clientY];
      const follow = (next) => {
        const tile = overlay.tile();
        if (!tile) return;
        this.move(number, which, tile.dragged(next.clientX - last[0], next.clientY - last[1]));
        last = [next.clientX, next.clientY];
        clearTimeout(this.rest);
        this.rest = setTimeout(() => {
          const change = this.changeOf(number);
          if (change) this.onRest(number, change);
        }, REST);
      };
      const end = () => {
        clearTimeout(this.rest);
        this.release = null;
        overlay.svg.classList.remove("dragging");
        node.removeEventListener("pointermove", follow);
        node.removeEventListener("lostpointercapture", finish);
      };
      const finish = () => {
        end();
        this.commit();
      };
      this.release = end;
      node.addEventListener("pointermove", follow);
      node.addEventListener("lostpointercapture", finish);
    });
  }

  movableByKeys(node, overlay, number, which) {
    const steps = {
      ArrowLeft: [-1, 0, 0],
      ArrowRight: [1, 0, 0],
      ArrowUp: [0, 1, 0],
      ArrowDown: [0, -1, 0],
      PageUp: [0, 0, 1],
      PageDown: [0, 0, -1],
    };
    node.addEventListener("keydown", (event) => {
      const tile = overlay.tile();
      const step = steps[event.key];
      if (event.key === "Enter" && this.busy) this.commit();
      if (!step || !tile || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const size = event.shiftKey ? 5 : 1;
      this.move(number, which, tile.step(...step.map((value) => value * size)));
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.commit(), WAIT);
    });
    node.addEventListener("blur", () => {
      if (this.timer) this.commit();
    });
  }

  update() {
    for (const overlay of this.overlays) {
      const tile = overlay.tile();
      overlay.svg.classList.toggle("moving", this.busy);
      if (tile) overlay.needles.forEach((parts, number) => this.draw(parts, number, tile, overlay.view));
    }
  }

  draw(parts, number, tile, view) {
    const { entry, target, shaft } = this.place(number);
    const ends = { entry: tile.project(entry), target: tile.project(target) };
    const line = shaft.map((point) => tile.project(point));
    const whole = path(line);
    parts.halo.setAttribute("d", whole);
    parts.far.setAttribute("d", whole);
    parts.grip.setAttribute("d", whole);
    parts.near.setAttribute(
      "d",
      line
        .slice(1)
        .map((point, i) => path(nearPart(line[i], point)))
        .join(""),
    );
    for (const which of ["entry", "target"]) {
      const at = ends[which];
      const inside = {
        x: Math.min(tile.width - EDGE, Math.max(EDGE, at.x)),
        y: Math.min(tile.height - EDGE, Math.max(EDGE, at.y)),
      };
      const handle = parts[which];
      handle.setAttribute("transform", `translate(${inside.x.toFixed(2)} ${inside.y.toFixed(2)})`);
      handle.classList.toggle("near", Math.abs(at.depth) <= NEAR);
      handle.classList.toggle("outside", inside.x !== at.x || inside.y !== at.y);
      const title = `${which === "entry" ? "Entry" : "Target"} of needle ${number + 1}, ${view} view`;
      handle.setAttribute("aria-label", `${title}: ${spoken(flip(which === "entry" ? entry : target))}`);
    }
  }
}

const rounded = (value) => Math.round(value * 100) / 100;

const path = (points) => points.map(({ x, y }, i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

// The part of a stretch that lies within NEAR of the slice.
function nearPart(a, b) {
  const change = b.depth - a.depth;
  if (Math.abs(change) < 1e-9) return Math.abs(a.depth) <= NEAR ? [a, b] : [];
  const cuts = [(-NEAR - a.depth) / change, (NEAR - a.depth) / change].sort((p, q) => p - q);
  const [from, to] = [Math.max(0, cuts[0]), Math.min(1, cuts[1])];
  const at = (share) => ({ x: a.x + share * (b.x - a.x), y: a.y + share * (b.y - a.y) });
  return from < to ? [at(from), at(to)] : [];
}
