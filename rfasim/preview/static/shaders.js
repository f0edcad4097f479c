// Shaders given to NiiVue: one for slices, which lays the zone or the probabilities over them, and three for surfaces.

export const FIELD_UNIT = 12; // a texture unit that NiiVue uses for nothing that this page shows

// The zone comes as a small texture of its own and not as a NiiVue overlay, because an overlay would have to be
// rebuilt on the whole background grid at every step of the time slider.
export const SLICE_SHADER = `#version 300 es
precision highp int;
precision highp float;
uniform highp sampler3D volume;
uniform highp sampler3D overlay;
uniform highp sampler3D field;
uniform mat4 frac2field;
uniform float overlays;
uniform float opacity;
uniform float strength;
uniform vec3 marks;
uniform vec3 highColour;
uniform vec3 middleColour;
uniform vec3 lowColour;
in vec3 texPos;
out vec4 color;

// How much of the line of a value lies in this pixel; the line is about two and a half pixels wide.
float line(float value, float slope, float at) {
  return 1.0 - smoothstep(0.6, 1.4, abs(value - at) / slope);
}

void cover(vec3 with, float alpha) {
  color.rgb = mix(color.rgb, with, alpha);
}

void main() {
  color = vec4(texture(volume, texPos).rgb, opacity);
  // Outlines of the anatomy: where the label under a neighbouring pixel is another. The label with the higher alpha
  // (views.js gives it) colours the line.
  vec4 edge = vec4(0.0);
  if (overlays > 0.0) {
    ivec3 size = textureSize(overlay, 0);
    vec3 at = texPos * vec3(size);
    vec3 right = 1.5 * dFdx(texPos) * vec3(size);
    vec3 up = 1.5 * dFdy(texPos) * vec3(size);
    vec4 here = texelFetch(overlay, min(ivec3(at), size - 1), 0);
    vec4 beside = texelFetch(overlay, clamp(ivec3(at + right), ivec3(0), size - 1), 0);
    vec4 above = texelFetch(overlay, clamp(ivec3(at + up), ivec3(0), size - 1), 0);
    if (beside.rgb != here.rgb) edge = beside.a > here.a ? beside : here;
    if (above.rgb != here.rgb) {
      vec4 winner = above.a > here.a ? above : here;
      if (winner.a > edge.a) edge = winner;
    }
    if (here.a > 0.0) cover(here.rgb, 0.07);
  }
  vec3 lines = vec3(0.0);
  if (strength > 0.0) {
    vec3 at = (frac2field * vec4(texPos, 1.0)).xyz;
    float value = texture(field, at).r;
    if (any(lessThan(at, vec3(0.0))) || any(greaterThan(at, vec3(1.0)))) value = 0.0;
    float slope = max(fwidth(value), 1e-4);
    lines = strength * vec3(line(value, slope, marks.x), line(value, slope, marks.y), line(value, slope, marks.z));
    vec3 with = value >= marks.x ? highColour : value >= marks.y ? middleColour : lowColour;
    cover(with, value >= marks.z ? 0.28 * strength : 0.0);
  }
  if (edge.a > 0.0) cover(edge.rgb, 0.9); // over the fill: what of the tumour lies in the zone has to be seen
  cover(lowColour, lines.z);
  cover(middleColour, lines.y);
  cover(highColour, lines.x);
}`;

// Surfaces in 3-D: lit from the viewer's side, so that no side is black.
export const SOLID_SHADER = `#version 300 es
precision highp int;
precision highp float;
uniform float opacity;
in vec4 vClr;
in vec3 vN;
out vec4 color;
void main() {
  float facing = abs(normalize(vN).z);
  color = vec4(vClr.rgb * (0.35 + 0.65 * facing), opacity);
}`;

// Organs and zones as shells: clear where seen face on, denser at their rim, which shows the shape.
export const SHELL_SHADER = `#version 300 es
precision highp int;
precision highp float;
uniform float opacity;
in vec4 vClr;
in vec3 vN;
out vec4 color;
void main() {
  float rim = 1.0 - abs(normalize(vN).z);
  color = vec4(vClr.rgb * (0.75 + 0.25 * rim), opacity * (0.35 + 0.65 * rim * rim));
}`;

// Margin classes keep their exact colour: no light, nothing between two classes.
export const UNLIT_SHADER = `#version 300 es
precision highp int;
precision highp float;
uniform float opacity;
in vec4 vClr;
out vec4 color;
void main() {
  color = vec4(vClr.rgb, opacity);
}`;
