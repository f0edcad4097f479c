// When to draw.

// A function that has `draw` called at the browser's next frame; many calls make one drawing.
export function atNextFrame(draw) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  };
}
