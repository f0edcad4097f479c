// What lies over a view besides the needle: the name and place of the slice, orientation letters, crosshair, scale.

import { add, flip, length, scaled, spoken } from "./geometry.js";

const SVG = "http://www.w3.org/2000/svg";
const NAMES = { axial: "Axial", coronal: "Coronal", sagittal: "Sagittal", "3d": "3-D" };
const RAS = [
  ["R", "L"],
  ["A", "P"],
  ["S", "I"],
]; // letters for plus and minus
const GAP = 14; // px that the crosshair leaves open

const made = (name, attributes, text) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

export function drawMarks(svg, tile, crosshair) {
  svg.replaceChildren(...(tile.view === "3d" ? axes(tile) : slice(tile, crosshair)));
}

function slice(tile, crosshair) {
  const { width: w, height: h, plane } = tile;
  const at = spoken(flip(crosshair)).replace(" mm", "").split("  ")[plane.through];
  const nodes = [made("text", { x: 7, y: 16, class: "name" }, `${NAMES[tile.view]}  ${at} mm`)];
  const { x, y } = tile.project(crosshair);
  const d = `M0 ${y}H${x - GAP}M${x + GAP} ${y}H${w}M${x} 0V${y - GAP}M${x} ${y + GAP}V${h}`;
  nodes.push(made("path", { d, class: "crosshair" }));
  const [plus, minus] = RAS[plane.across];
  const [right, left] = tile.size[0] > 0 ? [plus, minus] : [minus, plus];
  const [top, bottom] = RAS[plane.up];
  nodes.push(
    made("text", { x: 7, y: h / 2 + 4, class: "letter" }, left),
    made("text", { x: w - 7, y: h / 2 + 4, class: "letter", "text-anchor": "end" }, right),
    made("text", { x: Math.max(w / 2, 150), y: 17, class: "letter", "text-anchor": "middle" }, top), // beside the name
    made("text", { x: w / 2, y: h - 8, class: "letter", "text-anchor": "middle" }, bottom),
  );
  const bar = [100, 50, 20, 10, 5, 2].find((mm) => mm / tile.millimetresPerPixel < w / 4) ?? 1;
  const size = bar / tile.millimetresPerPixel;
  nodes.push(
    made("path", { d: `M8 ${h - 14}v5h${size}v-5`, class: "bar" }),
    made("text", { x: 14 + size, y: h - 8, class: "letter" }, `${bar} mm`),
  );
  return nodes;
}

// Three short lines that say where the patient's left, back and head are.
function axes(tile) {
  const centre = [34, tile.height - 34];
  const nodes = [made("text", { x: 7, y: 16, class: "name" }, NAMES["3d"])];
  const origin = tile.project([0, 0, 0]);
  const unit = length(tile.dragged(1, 0)); // mm of a pixel
  for (const [letter, direction] of [
    ["L", [-1, 0, 0]],
    ["P", [0, -1, 0]],
    ["S", [0, 0, 1]],
  ]) {
    const tip = tile.project(scaled(direction, 20 * unit));
    const [dx, dy] = add([tip.x, tip.y], [-origin.x, -origin.y]);
    nodes.push(made("line", { x1: centre[0], y1: centre[1], x2: centre[0] + dx, y2: centre[1] + dy, class: "axis" }));
    const name = { x: centre[0] + 1.35 * dx, y: centre[1] + 1.35 * dy + 4, class: "letter", "text-anchor": "middle" };
    nodes.push(made("text", name, letter));
  }
  return nodes;
}
