// Shaders given to NiiVue: programs for slices, which lay the zone or the probabilities over them, and for surfaces.

export const FIELD_UNIT = 12; // a texture unit that NiiVue uses for nothing that this page shows

// The same as NiiVue's own.
const SLICE_VERTICES = `#version 300 es
layout(location=0) in vec3 pos;
uniform int axCorSag;
uniform mat4 mvpMtx;
uniform mat4 frac2mm;
uniform float slice;
out vec3 texPos;
void main() {
  texPos = axCorSag > 1 ? vec3(slice, pos.xy) : axCorSag > 0 ? vec3(pos.x, slice, pos.y) : vec3(pos.xy, slice);
  gl_Position = mvpMtx * frac2mm * vec4(texPos, 1.0);
}`;

// The zone comes as a small texture of its own and not as a NiiVue overlay, because an overlay would have to be
// rebuilt on the whole background grid at every step of the time slider.
// What is not shown is left out by the preprocessor, not by branches: software GL computes all branches.
const SLICE_FRAGMENTS = `
precision highp int;
precision highp float;
uniform highp sampler3D volume;
uniform highp sampler3D overlay;
uniform highp sampler3D field;
uniform mat4 frac2field;
uniform float opacity;
uniform float strength;
uniform vec3 marks;
uniform vec3 highColour;
uniform vec3 middleColour;
uniform vec3 lowColour;
uniform vec3 organColour;
in vec3 texPos;
out vec4 color;

// How much of the line of a value lies in this pixel; the line is about two and a half pixels wide.
float line(float value, float slope, float at) {
  return strength * (1.0 - smoothstep(0.6, 1.4, abs(value - at) / slope));
}

void cover(vec3 with, float alpha) {
  color.rgb = mix(color.rgb, with, alpha);
}

// Of two labels that meet the one whose colour the line takes: what lies in the organ, not the organ.
vec4 inner(vec4 one, vec4 other) {
  bool organ = distance(one.rgb, organColour) < 0.002;
  return other.a > 0.0 && (organ || one.a == 0.0) ? other : one;
}

void main() {
  color = vec4(texture(volume, texPos).rgb, opacity);
#ifdef OUTLINES
  // Outlines of the anatomy: where the label under a neighbouring pixel is another.
  ivec3 size = textureSize(overlay, 0);
  vec3 voxel = texPos * vec3(size);
  vec3 right = 1.5 * dFdx(voxel);
  vec3 up = 1.5 * dFdy(voxel);
  vec4 here = texelFetch(overlay, min(ivec3(voxel), size - 1), 0);
  vec4 beside = texelFetch(overlay, clamp(ivec3(voxel + right), ivec3(0), size - 1), 0);
  vec4 above = texelFetch(overlay, clamp(ivec3(voxel + up), ivec3(0), size - 1), 0);
  vec4 edge = inner(inner(here, beside), above);
  if (beside.rgb == here.rgb && above.rgb == here.rgb) edge.a = 0.0;
  cover(here.rgb, here.a > 0.0 ? 0.07 : 0.0);
#endif
#ifdef FIELD
  vec3 at = (frac2field * vec4(texPos, 1.0)).xyz;
  vec3 within = step(0.0, at) * step(at, vec3(1.0));
  float value = texture(field, at).r * within.x * within.y * within.z;
  float slope = max(fwidth(value), 1e-4);
  vec3 fill = value >= marks.x ? highColour : value >= marks.y ? middleColour : lowColour;
  cover(fill, value >= marks.z ? 0.28 * strength : 0.0);
#endif
#ifdef OUTLINES
  cover(edge.rgb, edge.a > 0.0 ? 0.9 : 0.0); // over the fill: what of the tumour lies in the zone has to be seen
#endif
#ifdef FIELD
#ifdef BANDS
  cover(lowColour, line(value, slope, marks.z));
  cover(middleColour, line(value, slope, marks.y));
#endif
  cover(highColour, line(value, slope, marks.x));
#endif
}`;

// A program as NiiVue takes them: `use` and `uniforms`.
function linked(gl, vertices, fragments) {
  const program = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, vertices],
    [gl.FRAGMENT_SHADER, fragments],
  ]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  const uniforms = {};
  for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i++) {
    const { name } = gl.getActiveUniform(program, i);
    uniforms[name] = gl.getUniformLocation(program, name);
  }
  return { program, uniforms, use: (context) => context.useProgram(program) };
}

// Names: OUTLINES, FIELD, BANDS.
export function sliceProgram(gl, names) {
  const defines = names.map((name) => `#define ${name}\n`).join("");
  return linked(gl, SLICE_VERTICES, `#version 300 es\n${defines}${SLICE_FRAGMENTS}`);
}

// Draws nothing.
export function idleProgram(gl) {
  const vertices = "#version 300 es\nlayout(location=0) in vec3 pos;\nvoid main() { gl_Position = vec4(2.0); }";
  return linked(
    gl,
    vertices,
    "#version 300 es\nprecision highp float;\nout vec4 color;\nvoid main() { color = vec4(0.0); }",
  );
}

// What the shaders of surfaces have in common.
const OF_SURFACES = `#version 300 es
precision highp int;
precision highp float;
uniform float opacity;
in vec4 vClr;
`;

// Surfaces in 3-D: lit from the viewer's side, so that no side is black.
export const SOLID_SHADER = `${OF_SURFACES}in vec3 vN;
out vec4 color;
void main() {
  float facing = abs(normalize(vN).z);
  color = vec4(vClr.rgb * (0.35 + 0.65 * facing), opacity);
}`;

// Organs and zones as shells: clear where seen face on, denser at their rim, which shows the shape.
export const SHELL_SHADER = `${OF_SURFACES}in vec3 vN;
out vec4 color;
void main() {
  float rim = 1.0 - abs(normalize(vN).z);
  color = vec4(mix(vClr.rgb, vec3(1.0), 0.2), opacity * (0.3 + 0.7 * rim * rim));
}`;

// Margin classes keep their exact colour: no light, nothing between two classes.
export const UNLIT_SHADER = `${OF_SURFACES}out vec4 color;
void main() {
  color = vec4(vClr.rgb, opacity);
}`;
