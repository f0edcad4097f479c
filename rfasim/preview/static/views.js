// The two sides (the case, and the one it is compared with), each with slices and a 3-D view, moved together.

import { Slices, clamped } from "./slices.js";
import { Space } from "./space.js";
import { bytes } from "./link.js";
import { flip, spoken } from "./geometry.js";
import { drawMarks } from "./marks.js";
import { sliceGestures, spaceGestures } from "./gestures.js";

// Tiles of one side, as parts of its area.
const LAYOUTS = {
  all: [
    { view: "axial", left: 0, top: 0, width: 0.5, height: 0.5 },
    { view: "coronal", left: 0.5, top: 0, width: 0.5, height: 0.5 },
    { view: "sagittal", left: 0, top: 0.5, width: 0.5, height: 0.5 },
    { view: "3d", left: 0.5, top: 0.5, width: 0.5, height: 0.5 },
  ],
  // side by side there is little width: the axial slice large, as it is the one read first
  compare: [
    { view: "axial", left: 0, top: 0, width: 1, height: 0.55 },
    { view: "coronal", left: 0, top: 0.55, width: 0.5, height: 0.45 },
    { view: "3d", left: 0.5, top: 0.55, width: 0.5, height: 0.45 },
  ],
};
const VIEWS = ["axial", "coronal", "sagittal", "3d"];
const ZONE_RGBA = [255, 122, 0, 255];
const DEVICE_RGBA = [226, 230, 234, 255];
const HOME = { zoom: 1, azimuth: 150, elevation: 15, scale: 1.15 };

export class Views {
  constructor(root, handles, { onPosition, onWindow, onLayout, onProblem }) {
    Object.assign(this, { root, handles, onPosition, onWindow, onLayout, onProblem });
    this.camera = { crosshair: [0, 0, 0], pan: [0, 0, 0], shift: [0, 0, 0], box: null, ...HOME };
    this.sides = {};
    this.layout = "all";
    this.names = ["a"];
    this.surfaceData = new Map();
  }

  async start() {
    this.sides.a = await this.makeSide("a");
    this.arrange();
  }

  async makeSide(name) {
    const element = document.createElement("div");
    element.className = "side";
    const title = document.createElement("p");
    title.className = "side-title";
    const canvases = ["slices", "space"].map((kind) => {
      const box = document.createElement("div");
      box.className = kind;
      const canvas = document.createElement("canvas");
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "img");
      canvas.setAttribute(
        "aria-label",
        kind === "slices" ? "Slices; arrows move the crosshair" : "3-D view; arrows turn it",
      );
      canvas.addEventListener("webglcontextlost", () => this.onProblem("The graphics were lost. Reload the page."));
      box.append(canvas);
      return box;
    });
    element.append(title, ...canvases);
    this.root.append(element);
    const drawn = () => this.drawn(side);
    const side = {
      name,
      element,
      title,
      boxes: { slices: canvases[0], space: canvases[1] },
      tiles: {},
      slices: new Slices(canvases[0].firstChild, this.camera, drawn),
      space: new Space(canvases[1].firstChild, this.camera, drawn),
    };
    for (const view of VIEWS) {
      const tile = document.createElement("div");
      tile.className = "tile";
      const [marks, svg] = [1, 2].map(() => document.createElementNS("http://www.w3.org/2000/svg", "svg"));
      marks.setAttribute("class", "marks");
      tile.append(marks, svg);
      element.append(tile);
      side.tiles[view] = { element: tile, marks };
      this.handles.addOverlay(svg, name, view, () => (this.visible(view) && side.projected?.[view]) || null);
    }
    await side.slices.start();
    await side.space.start();
    const large = (view) => this.enlarge(view);
    sliceGestures(side.slices, {
      large,
      changed: () => this.request("slices"),
      goTo: (ras) => this.goTo(ras),
      windowBy: (dx, dy) => this.windowBy(dx, dy),
      spacing: () => this.spacing,
    });
    spaceGestures(side.space, { large, changed: () => this.request("space") });
    return side;
  }

  get shown() {
    return this.names.map((name) => this.sides[name]).filter(Boolean);
  }

  places() {
    const whole = LAYOUTS[this.names.length > 1 ? "compare" : "all"];
    if (this.layout === "all") return whole;
    return [{ view: this.layout, left: 0, top: 0, width: 1, height: 1 }];
  }

  visible(view) {
    return this.places().some((place) => place.view === view);
  }

  arrange() {
    const places = this.places();
    const space = places.find((place) => place.view === "3d");
    for (const side of Object.values(this.sides)) {
      side.element.hidden = !this.names.includes(side.name);
      side.boxes.space.hidden = !space;
      side.space.shown = Boolean(space) && !side.element.hidden;
      if (space) place(side.boxes.space, space);
      const slices = places.filter((one) => one.view !== "3d");
      side.boxes.slices.hidden = slices.length === 0;
      side.slices.arrange(side.element.hidden ? [] : slices);
      for (const [view, tile] of Object.entries(side.tiles)) {
        const here = places.find((one) => one.view === view);
        tile.element.hidden = !here;
        if (here) place(tile.element, here);
      }
    }
    this.request();
  }

  setLayout(name) {
    this.layout = name;
    this.arrange();
  }

  enlarge(view) {
    this.setLayout(this.layout === view ? "all" : view);
    this.onLayout(this.layout);
  }

  async compare(on) {
    if (on && !this.sides.b) {
      this.sides.b = await this.makeSide("b");
      if (this.background) await this.fillSide(this.sides.b);
    }
    this.names = on ? ["a", "b"] : ["a"];
    this.arrange();
  }

  setTitles(titles) {
    for (const [name, side] of Object.entries(this.sides)) {
      side.title.textContent = titles[name] ?? "";
      side.title.hidden = this.names.length < 2;
    }
  }

  // Load a scene: the background once for both sides, the surfaces of the anatomy.
  async open(scene) {
    const [low, high] = scene.box.map(flip);
    const before = JSON.stringify(this.camera.box);
    this.camera.box = { low: low.map((v, i) => Math.min(v, high[i])), high: low.map((v, i) => Math.max(v, high[i])) };
    this.scene = scene;
    const files = [bytes(scene.background.url), scene.labels_url ? bytes(scene.labels_url) : null];
    const surfaces = scene.surfaces.map(({ url }) => bytes(url));
    const [background, labels] = await Promise.all(files);
    this.background = await image(background, scene.background.kind === "labels" ? scene.labels : null);
    this.labels = labels && (await image(labels, scene.labels));
    this.setWindow(...(scene.background.window ?? [50, 400]));
    this.spacing = Math.min(...this.background.pixDimsRAS.slice(1, 4));
    this.surfaceData.clear();
    const loaded = await Promise.all(surfaces);
    scene.surfaces.forEach(({ id }, i) => this.surfaceData.set(id, loaded[i]));
    for (const side of Object.values(this.sides)) await this.fillSide(side);
    if (JSON.stringify(this.camera.box) !== before) {
      this.home();
      this.goTo(flip(scene.centre));
    } else this.tellPosition();
  }

  async fillSide(side) {
    side.slices.show(this.background, this.labels);
    side.slices.setOutlines(this.outlines ?? true, this.organColour());
    side.space.dropAll();
    for (const { id, kind, rgba } of this.scene.surfaces) {
      const data = this.surfaceData.get(id);
      if (data) await side.space.put(`scene ${id}`, kind, data, rgba);
    }
    for (const [id, data] of this.devices ?? []) await side.space.put(id, "device", data, DEVICE_RGBA);
  }

  async setDevices(urls) {
    this.wanted = urls;
    const data = await Promise.all(urls.map((url) => bytes(url)));
    if (this.wanted !== urls) return; // moved on meanwhile
    this.devices = data.map((one, i) => [`device ${i}`, one]).filter(([, one]) => one);
    for (const side of Object.values(this.sides)) {
      side.space.dropAll((id) => id.startsWith("device "));
      for (const [id, one] of this.devices) await side.space.put(id, "device", one, DEVICE_RGBA);
    }
  }

  fadeDevices(faded) {
    for (const side of Object.values(this.sides)) {
      for (const [id] of this.devices ?? []) side.space.show(id, !faded);
    }
  }

  setField(name, field) {
    this.sides[name]?.slices.setField(field);
  }

  async setZoneSurface(name, data) {
    const side = this.sides[name];
    if (data) await side?.space.put("zone", "zone", data, ZONE_RGBA);
    else side?.space.drop("zone");
  }

  // Tumours in the colours of their margin: surfaces by the tumour's id, or null for plain ones.
  async setMargins(name, surfaces) {
    const side = this.sides[name];
    if (!side || !this.scene) return;
    side.space.dropAll((id, kind) => kind === "margin");
    for (const [id, data] of Object.entries(surfaces ?? {})) {
      if (data) await side.space.put(`margin ${id}`, "margin", data, [255, 255, 255, 255]);
    }
    for (const { id, kind } of this.scene.surfaces) {
      if (kind === "tumour") side.space.show(`scene ${id}`, !side.space.has(`margin ${id}`));
    }
  }

  setWindow(centre, width) {
    if (this.scene.background.kind !== "ct") return;
    this.windowed = [centre, width];
    this.background.cal_min = centre - width / 2;
    this.background.cal_max = centre + width / 2;
    for (const side of Object.values(this.sides)) side.slices.refreshBackground(this.background);
  }

  // A drag with the right button: up and down the level, left and right the width.
  windowBy(dx, dy) {
    if (this.scene?.background.kind !== "ct") return;
    const [centre, width] = this.windowed;
    this.setWindow(centre - dy, Math.max(20, width + 2 * dx));
    this.onWindow(...this.windowed);
  }

  setOutlines(on) {
    this.outlines = on;
    for (const side of Object.values(this.sides)) side.slices.setOutlines(on, this.organColour());
  }

  organColour() {
    const organs = this.scene.surfaces.filter(({ kind }) => kind === "organ").map(({ id, name }) => [id, name]);
    const label = this.scene.labels.find(({ name }) => organs.flat().includes(name)) ?? this.scene.labels[0];
    return label?.rgb ?? [0, 0, 0];
  }

  home() {
    Object.assign(this.camera, HOME, { pan: [0, 0, 0], shift: [0, 0, 0] });
    this.request();
  }

  goTo(ras) {
    this.camera.crosshair = this.camera.box ? clamped(ras, this.camera.box) : ras;
    this.request("slices");
    this.tellPosition();
  }

  tellPosition() {
    const { slices } = this.sides.a;
    const value = slices.valueAt(this.camera.crosshair);
    const names = new Map(this.scene.labels.map(({ number, name }) => [number, name]));
    const parts = [spoken(flip(this.camera.crosshair))];
    if (this.scene.background.kind === "ct") {
      if (value !== null) parts.push(`${Math.round(value)} HU`);
      const label = this.labels && slices.valueAt(this.camera.crosshair, 1);
      if (names.has(label)) parts.push(names.get(label));
    } else if (names.has(value)) parts.push(names.get(value));
    this.onPosition(parts.join("   "));
  }

  request(...kinds) {
    for (const side of this.shown) {
      for (const kind of kinds.length ? kinds : ["slices", "space"]) side[kind].request();
    }
  }

  drawn(side) {
    side.projected = Object.fromEntries(
      [...side.slices.tiles(), ...side.space.tiles()].map((tile) => [tile.view, tile]),
    );
    for (const [view, tile] of Object.entries(side.projected)) {
      drawMarks(side.tiles[view].marks, tile, this.camera.crosshair);
    }
    this.handles.update();
  }

  // Where a point (mm LPS) lies on the page.
  pagePoint(lps, view, name = "a") {
    const side = this.sides[name];
    const tile = side?.projected?.[view];
    if (!tile || !this.visible(view)) return null;
    const canvas = view === "3d" ? side.space.canvas : side.slices.canvas;
    const box = canvas.getBoundingClientRect();
    const { x, y } = tile.project(flip(lps));
    return { x: box.left + tile.left + x, y: box.top + tile.top + y };
  }

  get frames() {
    return Object.values(this.sides).reduce((sum, { slices }) => sum + slices.frames, 0);
  }
}

function place(element, { left, top, width, height }) {
  Object.assign(element.style, {
    left: `${100 * left}%`,
    top: `${100 * top}%`,
    width: `${100 * width}%`,
    height: `${100 * height}%`,
  });
}

// A volume for NiiVue; with a table of labels its numbers are drawn in their colours.
async function image(data, labels) {
  const volume = await niivue.NVImage.new(data, "volume.nii", "gray", 1);
  if (labels) {
    const table = [{ number: 0, rgb: [0, 0, 0] }, ...labels.filter(({ number }) => number !== 0)];
    volume.setColormapLabel({
      R: table.map(({ rgb }) => rgb[0]),
      G: table.map(({ rgb }) => rgb[1]),
      B: table.map(({ rgb }) => rgb[2]),
      A: table.map(({ number }) => (number ? 255 : 0)),
      I: table.map(({ number }) => number),
    });
  }
  return volume;
}
