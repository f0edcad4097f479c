// Power, impedance and temperature over time: small plots with axes, one marker at the slider's time.

import { CURVES } from "./palette.js";
import { clock } from "./geometry.js";

const SVG = "http://www.w3.org/2000/svg";
const ROWS = [
  { key: "power_w", title: "Power", unit: "W", digits: 0, fromZero: true },
  { key: "impedance_ohm", title: "Impedance", unit: "Ω", digits: 0 },
  { key: "max_temperature_c", title: "Hottest tissue", unit: "°C", digits: 0 },
];
const SIZE = { width: 300, height: 74, left: 34, right: 8, top: 15, bottom: 4 };
const AXIS = 16; // px more below the last plot, for the minutes

const made = (name, attributes, text) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

export class Curves {
  // onTime(seconds): the user pointed at a time
  constructor(root, onTime) {
    this.root = root;
    this.rows = ROWS.map((row, i) => {
      const height = SIZE.height + (i === ROWS.length - 1 ? AXIS : 0);
      const svg = made("svg", { viewBox: `0 0 ${SIZE.width} ${height}`, role: "img" });
      root.append(svg);
      svg.addEventListener("pointerdown", (event) => {
        const box = svg.getBoundingClientRect();
        const x = ((event.clientX - box.left) / box.width) * SIZE.width;
        if (this.end) onTime(((x - SIZE.left) / (SIZE.width - SIZE.left - SIZE.right)) * this.end);
      });
      return { ...row, svg, last: i === ROWS.length - 1 };
    });
    this.draw([], 0);
  }

  // series: [{history, dashed, name}]; time: seconds of the marker, or null
  draw(series, end, time = null) {
    this.end = end;
    for (const row of this.rows) this.drawRow(row, series, end, time);
  }

  drawRow({ svg, key, title, unit, digits, fromZero, last }, series, end, time) {
    const { width, height, left, right, top, bottom } = SIZE;
    const values = series.flatMap(({ history }) => history[key] ?? []).filter(Number.isFinite);
    const ticks = niceTicks(fromZero ? [0, ...values] : values);
    const [low, high] = [ticks[0], ticks.at(-1)];
    const x = (seconds) => left + (seconds / (end || 720)) * (width - left - right);
    const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
    const nodes = [];
    for (const tick of ticks) {
      nodes.push(made("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }));
      if (!values.length) continue;
      nodes.push(made("text", { class: "tick", x: left - 4, y: y(tick) + 3.5, "text-anchor": "end" }, String(tick)));
    }
    if (last) {
      for (const minutes of minuteTicks((end || 720) / 60)) {
        const label = minutes === minuteTicks((end || 720) / 60).at(-1) ? `${minutes} min` : String(minutes);
        const anchor = label.endsWith("min") && x(60 * minutes) > width - 24 ? "end" : "middle";
        const at = anchor === "end" ? width - 2 : x(60 * minutes);
        nodes.push(made("text", { class: "tick", x: at, y: height + 11, "text-anchor": anchor }, label));
      }
    }
    const now = [];
    for (const { history, dashed, name } of series) {
      const points = (history.time_s ?? []).map((t, i) => [t, history[key][i]]).filter(([, v]) => Number.isFinite(v));
      const d = points.map(([t, v], i) => `${i ? "L" : "M"}${x(t).toFixed(1)} ${y(v).toFixed(1)}`).join("");
      nodes.push(made("path", { class: dashed ? "curve dashed" : "curve", d, stroke: CURVES[key] }));
      const value = at(points, time);
      if (value !== null) {
        now.push(`${name ? `${name} ` : ""}${value.toFixed(digits)} ${unit}`);
        nodes.push(made("circle", { class: "dot", cx: x(time), cy: y(value), r: 2.6, fill: CURVES[key] }));
      }
    }
    if (time !== null && series.length) {
      nodes.push(made("line", { class: "marker", x1: x(time), x2: x(time), y1: top - 2, y2: height - bottom }));
    }
    nodes.push(made("text", { class: "title", x: left, y: 10, fill: CURVES[key] }, `${title}, ${unit}`));
    nodes.push(made("text", { class: "now", x: width - right, y: 10, "text-anchor": "end" }, now.join("   ")));
    svg.setAttribute(
      "aria-label",
      `${title}: ${now.join(", ") || "no run yet"}${time === null ? "" : ` at ${clock(time)} min`}`,
    );
    svg.replaceChildren(...nodes);
  }
}

// Value at a time, by straight lines between samples.
function at(points, time) {
  if (time === null || !points.length) return null;
  const after = points.findIndex(([t]) => t >= time);
  if (after < 0) return time - points.at(-1)[0] < 1 ? points.at(-1)[1] : null;
  if (after === 0) return points[0][1];
  const [[t0, v0], [t1, v1]] = [points[after - 1], points[after]];
  return v0 + ((v1 - v0) * (time - t0)) / (t1 - t0 || 1);
}

// Two to four round numbers that hold all values.
function niceTicks(values) {
  const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  const span = high - Math.min(low, high) || Math.abs(high) || 1;
  const step = [1, 2, 5, 10].map((m) => m * 10 ** Math.floor(Math.log10(span / 2))).find((s) => span / s <= 3) ?? span;
  const first = Math.floor(low / step) * step;
  const ticks = [first];
  while (ticks.at(-1) < high - 1e-9 || ticks.length < 2) ticks.push(Number((ticks.at(-1) + step).toPrecision(6)));
  return ticks;
}

function minuteTicks(minutes) {
  const step = [1, 2, 3, 5, 10, 15, 30].find((s) => minutes / s <= 6) ?? 60;
  return Array.from({ length: Math.floor(minutes / step + 1e-9) + 1 }, (_, i) => i * step);
}
