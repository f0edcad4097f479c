// Points and matrices. The case speaks LPS (left, posterior, superior), the viewer RAS; both in millimetres.
// Matrices are arrays of 16, column after column, as WebGL takes them.

export const flip = ([x, y, z]) => [-x, -y, z]; // LPS to RAS, and back
export const add = (a, b) => a.map((value, i) => value + b[i]);
export const subtract = (a, b) => a.map((value, i) => value - b[i]);
export const scaled = (a, factor) => a.map((value) => value * factor);
export const length = (a) => Math.hypot(...a);
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
export const same = (a, b, within = 1e-6) => a.every((value, i) => Math.abs(value - b[i]) < within);

export function transposed(m) {
  return Array.from({ length: 16 }, (_, i) => m[4 * (i % 4) + Math.floor(i / 4)]);
}

export function multiplied(a, b) {
  const out = new Array(16).fill(0);
  for (let column = 0; column < 4; column++) {
    for (let row = 0; row < 4; row++) {
      for (let k = 0; k < 4; k++) out[4 * column + row] += a[4 * k + row] * b[4 * column + k];
    }
  }
  return out;
}

// Inverse of a matrix whose last row is 0 0 0 1: all affine and parallel projections.
export function invertedAffine(m) {
  const [a, b, c, d, e, f, g, h, i] = [m[0], m[4], m[8], m[1], m[5], m[9], m[2], m[6], m[10]];
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  const r = [
    e * i - f * h,
    c * h - b * i,
    b * f - c * e,
    f * g - d * i,
    a * i - c * g,
    c * d - a * f,
    d * h - e * g,
    b * g - a * h,
    a * e - b * d,
  ].map((value) => value / determinant);
  const t = [0, 1, 2].map((row) => -(r[3 * row] * m[12] + r[3 * row + 1] * m[13] + r[3 * row + 2] * m[14]));
  return [r[0], r[3], r[6], 0, r[1], r[4], r[7], 0, r[2], r[5], r[8], 0, t[0], t[1], t[2], 1];
}

export function applied(m, [x, y, z], w = 1) {
  return [0, 1, 2].map((row) => m[row] * x + m[4 + row] * y + m[8 + row] * z + m[12 + row] * w);
}

const LETTERS = [
  ["R", "L"],
  ["A", "P"],
  ["I", "S"],
];

// "R 62.0  A 8.0  S 31.0 mm": a letter for the sign, so that nobody has to know the convention.
export function spoken(lps) {
  const parts = lps.map((value, i) => {
    const rounded = Math.abs(value).toFixed(1);
    return `${LETTERS[i][value > 0 ? 1 : 0]} ${rounded}`;
  });
  return `${parts.join("  ")} mm`;
}

export function clock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
