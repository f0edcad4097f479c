// The 3-D view: surfaces only, so that no rendered volume hides them.

import { atNextFrame } from "./drawing.js";
import { SHELL_SHADER, SOLID_SHADER, UNLIT_SHADER } from "./shaders.js";
import { applied, invertedAffine, length, scaled, subtract, add } from "./geometry.js";

// Surfaces are drawn in this order: what is opaque first, then what lets through, margins last, so that no
// translucent surface in front of them tints their colours.
const ORDER = ["vessels", "tumour", "device", "zone", "organ", "margin"];
const LOOKS = {
  vessels: { shader: "Solid", opacity: 1 },
  tumour: { shader: "Solid", opacity: 1 },
  device: { shader: "Solid", opacity: 1 },
  zone: { shader: "Shell", opacity: 0.75 },
  organ: { shader: "Shell", opacity: 0.55 },
  margin: { shader: "Unlit", opacity: 1 },
};
const SHADERS = { Solid: SOLID_SHADER, Shell: SHELL_SHADER, Unlit: UNLIT_SHADER };

export class Space {
  constructor(canvas, camera, onDrawn) {
    Object.assign(this, { canvas, camera, onDrawn, surfaces: new Map(), frames: 0, shown: true });
    this.request = atNextFrame(() => this.draw());
    this.viewer = new niivue.Niivue({
      interactive: false,
      dragAndDropEnabled: false,
      logLevel: "error",
      loadingText: " ",
      backColor: [0.02, 0.024, 0.028, 1],
      show3Dcrosshair: false,
    });
  }

  async start() {
    const { viewer } = this;
    await viewer.attachToCanvas(this.canvas);
    this.canvas.parentElement.style.backgroundColor = "transparent"; // NiiVue makes it black; see style.css
    for (const [name, source] of Object.entries(SHADERS)) viewer.setCustomMeshShader(source, name);
    // NiiVue turns about the middle of what is loaded, which would jump as the needle and the zone change.
    viewer.setPivot3D = () => {
      const { low, high } = this.camera.box;
      viewer.pivot3D = add(scaled(add(low, high), 0.5), this.camera.shift);
      viewer.furthestFromPivot = length(subtract(high, low)) / 2;
      [viewer.extentsMin, viewer.extentsMax] = [low, high];
    };
    const draw = viewer.drawScene.bind(viewer);
    viewer.drawScene = () => {
      if (!this.shown || !this.camera.box || this.canvas.width === 0) return;
      draw();
      this.frames++;
      this.onDrawn();
    };
  }

  async put(id, kind, data, rgba) {
    const { viewer } = this;
    const look = LOOKS[kind];
    const mesh = await niivue.NVMesh.readMesh(data, "surface.mz3", viewer.gl, look.opacity, Uint8Array.from(rgba));
    mesh.meshShaderIndex = viewer.meshShaderNameToNumber(look.shader);
    this.drop(id);
    this.surfaces.set(id, { kind, mesh });
    this.arrange();
  }

  drop(id) {
    const surface = this.surfaces.get(id);
    if (!surface) return;
    this.surfaces.delete(id);
    this.arrange();
    surface.mesh.unloadMesh(this.viewer.gl);
  }

  dropAll(test = () => true) {
    for (const id of [...this.surfaces.keys()]) {
      if (test(id, this.surfaces.get(id).kind)) this.drop(id);
    }
  }

  has(id) {
    return this.surfaces.has(id);
  }

  show(id, visible, opacity = 1) {
    const surface = this.surfaces.get(id);
    if (!surface) return;
    surface.mesh.visible = visible;
    surface.mesh.opacity = LOOKS[surface.kind].opacity * opacity;
    this.request();
  }

  arrange() {
    this.viewer.meshes = [...this.surfaces.values()]
      .sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind))
      .map(({ mesh }) => mesh);
    this.request();
  }

  draw() {
    const { scene } = this.viewer;
    scene.renderAzimuth = this.camera.azimuth;
    scene.renderElevation = this.camera.elevation;
    scene.volScaleMultiplier = this.camera.scale;
    this.viewer.drawScene();
  }

  tiles() {
    if (!this.shown || !this.camera.box) return [];
    const ratio = this.viewer.uiData.dpr || 1;
    const [width, height] = [this.canvas.width / ratio, this.canvas.height / ratio];
    if (!width) return [];
    this.viewer.setPivot3D();
    const [matrix] = this.viewer.calculateMvpMatrix(
      null,
      [0, 0, this.canvas.width, this.canvas.height],
      this.camera.azimuth,
      this.camera.elevation,
    );
    return [new Tile({ left: 0, top: 0, width, height }, Array.from(matrix))];
  }
}

class Tile {
  constructor(rectangle, matrix) {
    Object.assign(this, rectangle, { view: "3d", matrix, inverse: invertedAffine(matrix) });
  }

  project(ras) {
    const [x, y] = applied(this.matrix, ras);
    return { x: ((x + 1) / 2) * this.width, y: ((1 - y) / 2) * this.height, depth: 0 };
  }

  // A drag moves a point in the plane through it that is parallel to the screen.
  dragged(dx, dy) {
    return applied(this.inverse, [(2 * dx) / this.width, (-2 * dy) / this.height, 0], 0);
  }

  step(right, up, out) {
    const along = (direction) => {
      const vector = applied(this.inverse, direction, 0);
      return scaled(vector, 1 / length(vector));
    };
    return add(add(scaled(along([1, 0, 0]), right), scaled(along([0, 1, 0]), up)), scaled(along([0, 0, -1]), out));
  }
}
