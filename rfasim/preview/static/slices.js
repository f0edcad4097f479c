// Axial, coronal and sagittal slices on one canvas: a NiiVue viewer with a layout that fills every tile.

import { atNextFrame } from "./drawing.js";
import { CHANCES, ZONE, unit } from "./palette.js";
import { FIELD_UNIT, idleProgram, sliceProgram } from "./shaders.js";
import { clamp, invertedAffine, multiplied, transposed } from "./geometry.js";

// Components of RAS millimetres that run across, up and through a slice, by NiiVue's number of the slice type.
const PLANES = [
  { view: "axial", across: 0, up: 1, through: 2 },
  { view: "coronal", across: 0, up: 2, through: 1 },
  { view: "sagittal", across: 1, up: 2, through: 0 },
];

// Shares of dead tissue at which lines run, and their colours, from the highest down.
const ZONE_LOOKS = { marks: [0.5, 0.5, 0.5], colours: [unit(ZONE), unit(ZONE), unit(ZONE)] };
const CHANCE_LOOKS = { marks: [0.95, 0.5, 0.05], colours: CHANCES.map(({ colour }) => unit(colour)) };

export class Slices {
  constructor(canvas, camera, onDrawn) {
    Object.assign(this, {
      canvas,
      camera,
      onDrawn,
      places: [],
      width: 0,
      height: 0,
      request: atNextFrame(() => this.paint()),
      frames: 0,
      programs: new Map(),
    });
    Object.assign(this, { layout: [], version: 0, states: new Map(), drawn: new Map() });
    this.viewer = new niivue.Niivue({
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      isSliceMM: true,
      interactive: false, // gestures.js does that, the same for all canvases
      dragAndDropEnabled: false,
      logLevel: "error",
      loadingText: " ",
      backColor: [0.02, 0.024, 0.028, 1],
      isOrientationTextVisible: false, // marks.js draws letters and crosshair
      crosshairWidth: 0,
      multiplanarShowRender: 0,
      meshThicknessOn2D: 0,
    });
  }

  async start() {
    const { viewer } = this;
    // kept between drawings, so that one slice can be drawn anew
    this.canvas.getContext("webgl2", { preserveDrawingBuffer: true, alpha: false, antialias: false });
    await viewer.attachToCanvas(this.canvas);
    // NiiVue letterboxes every slice to the volume's shape; these two make a slice fill its tile, all at one scale.
    viewer.calculateWidthHeight = (type, scale, width, height) => [width, height];
    viewer.screenFieldOfViewExtendedMM = (type) => this.fieldOfView(type);
    // NiiVue derives the gradient of every background for volume rendering, which is not used here and takes longest
    viewer.blurShader = viewer.sobelFirstOrderShader = idleProgram(viewer.gl);
    this.fieldTexture = this.texture();
    const clear = viewer.clearBounds.bind(viewer);
    viewer.clearBounds = (mask, rectangle) => {
      if (!this.partly || rectangle) clear(mask, rectangle);
    };
    this.drawLayout = viewer.drawScene.bind(viewer);
    viewer.drawScene = () => {
      // NiiVue draws when sizes or volumes change: everything then
      this.version++;
      this.paint();
    };
  }

  // Where the slices lie, as parts of the canvas: [{view, left, top, width, height}].
  arrange(places) {
    this.places = places;
    this.width = 0;
    this.changed();
  }

  // Draw the tiles that look different from what is on the canvas. A scrolled slice leaves the two others as they are,
  // which is two thirds of the work.
  paint() {
    this.place();
    if (!this.ready || !this.layout.length || this.canvas.width === 0) return;
    const { viewer, camera } = this;
    if (this.windowMoved) viewer.refreshLayers(viewer.volumes[0], 0);
    this.windowMoved = false;
    viewer.scene.crosshairPos = viewer.mm2frac(camera.crosshair);
    viewer.scene.pan2Dxyzmm = [...camera.pan, camera.zoom];
    const look = [this.version, ...camera.pan, camera.zoom].join();
    const state = ({ sliceType }) => `${look} ${camera.crosshair[PLANES[sliceType].through]}`;
    this.partly = this.look === look;
    const layout = this.layout.filter((tile) => !this.partly || this.states.get(tile) !== state(tile));
    if (layout.length) {
      viewer.customLayout = layout;
      viewer.customSliceShader = this.program();
      this.drawLayout();
      this.remember(this.partly);
      this.frames++;
    }
    this.look = look;
    this.states = new Map(this.layout.map((tile) => [tile, state(tile)]));
    this.onDrawn();
  }

  // Give NiiVue the layout in whole pixels, with a dark line between tiles.
  place() {
    const { width, height } = this.canvas;
    if (width === this.width && height === this.height) return;
    [this.width, this.height] = [width, height];
    this.version++;
    this.layout = this.places.map(({ view, left, top, width: w, height: h }) => {
      const [x, y] = [Math.round(left * width), Math.round(top * height)];
      const [right, bottom] = [Math.round((left + w) * width), Math.round((top + h) * height)];
      const gap = [right < width ? 2 : 0, bottom < height ? 2 : 0];
      return {
        sliceType: PLANES.findIndex((plane) => plane.view === view),
        position: [x / width, y / height, (right - x - gap[0]) / width, (bottom - y - gap[1]) / height],
      };
    });
  }

  fieldOfView(type) {
    const { extentsMin: low, extentsMax: high } = this.viewer.volumeObject3D;
    const size = (layout) => [layout.position[2] * this.width, layout.position[3] * this.height];
    const { across, up, through } = PLANES[type];
    const [w, h] = size(this.layout.find((layout) => layout.sliceType === type));
    // tiles of one size are drawn at one scale, that of the largest slice
    const alike = this.layout.filter((layout) => Math.abs(size(layout)[0] - w) + Math.abs(size(layout)[1] - h) < 8);
    const millimetres = Math.max(
      ...alike.map(({ sliceType }) => {
        const plane = PLANES[sliceType];
        return Math.max((high[plane.across] - low[plane.across]) / w, (high[plane.up] - low[plane.up]) / h);
      }),
    );
    const [x, y] = [(low[across] + high[across]) / 2, (low[up] + high[up]) / 2];
    const half = [(w * millimetres) / 2, (h * millimetres) / 2];
    return {
      mnMM: [x - half[0], y - half[1], low[through]],
      mxMM: [x + half[0], y + half[1], high[through]],
      fovMM: [2 * half[0], 2 * half[1], high[through] - low[through]],
    };
  }

  // Take volumes all at once: NiiVue's addVolume would redo every layer for each.
  show(background, labels) {
    const { viewer } = this;
    viewer.volumes = labels ? [background, labels] : [background];
    viewer.back = background;
    viewer.overlays = viewer.volumes.slice(1);
    this.field = null;
    viewer.updateGLVolume();
  }

  get ready() {
    return this.viewer.volumes.length > 0;
  }

  // After a change of the window; many changes until the next frame are one.
  refreshBackground(image) {
    if (this.viewer.volumes[0] === image) this.windowMoved = true;
    this.changed();
  }

  // organ: the colour (0 to 255) of the label that holds the others
  setOutlines(on, organ) {
    this.outlines = on;
    this.organ = organ.map((value) => value / 255);
    this.changed();
  }

  // What lies over the slices: the zone at a time, or the probabilities, or null.
  setField(field) {
    const refill = field && (field.source !== this.field?.source || field.time !== this.field?.time);
    if (!refill && field?.strength === this.field?.strength) return;
    if (refill && this.ready) this.fill(field.source, field.time);
    this.field = this.ready ? field : null;
    this.changed();
  }

  // The program that draws what is on, no more.
  program() {
    const { gl, volumes } = this.viewer;
    const names = [];
    if (this.outlines && volumes.length > 1) names.push("OUTLINES");
    if (this.field) names.push("FIELD");
    if (this.field?.chance) names.push("BANDS");
    const key = names.join();
    if (!this.programs.has(key)) this.programs.set(key, sliceProgram(gl, names));
    const program = this.programs.get(key);
    const at = program.uniforms;
    const looks = this.field?.chance ? CHANCE_LOOKS : ZONE_LOOKS;
    program.use(gl);
    gl.uniform1i(at.volume, 0);
    gl.uniform1i(at.overlay, 2);
    gl.uniform1i(at.field, FIELD_UNIT);
    if (at.organColour) gl.uniform3fv(at.organColour, this.organ);
    if (!this.field) return program;
    gl.uniformMatrix4fv(at.frac2field, false, this.toTexture);
    gl.uniform1f(at.strength, this.field.strength);
    gl.uniform3fv(at.marks, looks.marks);
    gl.uniform3fv(at.highColour, looks.colours[0]);
    gl.uniform3fv(at.middleColour, looks.colours[1]);
    gl.uniform3fv(at.lowColour, looks.colours[2]);
    return program;
  }

  texture() {
    const { gl } = this.viewer;
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0 + FIELD_UNIT);
    gl.bindTexture(gl.TEXTURE_3D, texture);
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) {
      gl.texParameteri(gl.TEXTURE_3D, wrap, gl.CLAMP_TO_EDGE);
    }
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_3D, filter, gl.LINEAR);
    }
    gl.texImage3D(gl.TEXTURE_3D, 0, gl.R8, 1, 1, 1, 0, gl.RED, gl.UNSIGNED_BYTE, new Uint8Array(1));
    return texture;
  }

  fill(source, time) {
    const { gl, volumes } = this.viewer;
    const [nx, ny, nz] = source.dim;
    gl.activeTexture(gl.TEXTURE0 + FIELD_UNIT);
    gl.bindTexture(gl.TEXTURE_3D, this.fieldTexture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage3D(gl.TEXTURE_3D, 0, gl.R8, nx, ny, nz, 0, gl.RED, gl.UNSIGNED_BYTE, source.field(time));
    const toFraction = [1 / nx, 0, 0, 0, 0, 1 / ny, 0, 0, 0, 0, 1 / nz, 0, 0.5 / nx, 0.5 / ny, 0.5 / nz, 1];
    const toVoxel = multiplied(invertedAffine(transposed(source.affine)), Array.from(volumes[0].frac2mm));
    this.toTexture = multiplied(toFraction, toVoxel);
  }

  // Draw anew, after something else than the camera has changed.
  changed() {
    this.version++;
    this.request();
  }

  // Value of a volume at a point (mm RAS); null outside.
  valueAt(ras, number = 0) {
    const image = this.viewer.volumes[number];
    if (!image) return null;
    const frac = image.convertMM2Frac(ras, true);
    if (frac.some((value) => value < 0 || value > 1)) return null;
    return image.getValue(...image.mm2vox(ras));
  }

  remember(partly) {
    const ratio = this.viewer.uiData.dpr || 1;
    if (!partly) this.drawn.clear();
    for (const slice of this.viewer.screenSlices) {
      const [left, top, width, height] = slice.leftTopWidthHeight.map((value) => value / ratio);
      const tile = new Tile(PLANES[slice.axCorSag], { left, top, width, height }, slice, this.camera);
      this.drawn.set(tile.view, tile);
    }
  }

  // The tiles as drawn last, in CSS pixels of the canvas, with what maps points to them and drags back.
  tiles() {
    return [...this.drawn.values()];
  }
}

class Tile {
  constructor(plane, rectangle, slice, camera) {
    Object.assign(this, rectangle, { plane, view: plane.view, origin: slice.leftTopMM, size: slice.fovMM, camera });
  }

  get millimetresPerPixel() {
    return Math.abs(this.size[1] / this.height);
  }

  // x, y in pixels from the tile's corner; depth: mm in front of the slice
  project(ras) {
    const { across, up, through } = this.plane;
    return {
      x: ((ras[across] - this.origin[0]) / this.size[0]) * this.width,
      y: (1 - (ras[up] - this.origin[1]) / this.size[1]) * this.height,
      depth: ras[through] - this.camera.crosshair[through],
    };
  }

  // The point of the slice under a pixel.
  pointAt(x, y) {
    const { across, up, through } = this.plane;
    const ras = [0, 0, 0];
    ras[across] = this.origin[0] + (x / this.width) * this.size[0];
    ras[up] = this.origin[1] + (1 - y / this.height) * this.size[1];
    ras[through] = this.camera.crosshair[through];
    return ras;
  }

  // Millimetres RAS that belong to a drag in pixels, and to steps right, up and out of the plane.
  dragged(dx, dy) {
    const move = [0, 0, 0];
    move[this.plane.across] = (dx / this.width) * this.size[0];
    move[this.plane.up] = (-dy / this.height) * this.size[1];
    return move;
  }

  step(right, up, out) {
    const move = [0, 0, 0];
    move[this.plane.across] = right * Math.sign(this.size[0]);
    move[this.plane.up] = up;
    move[this.plane.through] = out;
    return move;
  }
}

export function clamped(ras, box) {
  return ras.map((value, i) => clamp(value, box.low[i], box.high[i]));
}
