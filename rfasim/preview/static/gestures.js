// Mouse, pen and keys on the canvases. They only change the camera and ask for a drawing.

const SCROLL = 40; // wheel pixels for one slice; a notch of a mouse wheel is more

const tileAt = (tiles, x, y) =>
  tiles.find((tile) => x >= tile.left && y >= tile.top && x < tile.left + tile.width && y < tile.top + tile.height);

function listen(canvas, onDown) {
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    const follow = onDown(event);
    if (!follow) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    let last = [event.clientX, event.clientY];
    const move = (next) => {
      follow(next.clientX - last[0], next.clientY - last[1], next);
      last = [next.clientX, next.clientY];
    };
    canvas.addEventListener("pointermove", move);
    const end = () => {
      canvas.removeEventListener("pointermove", move);
      canvas.removeEventListener("lostpointercapture", end);
    };
    canvas.addEventListener("lostpointercapture", end);
  });
}

const isPan = (event) => event.button === 1 || (event.button === 0 && event.shiftKey);

export function sliceGestures(slices, { goTo, changed, windowBy, spacing, large }) {
  const { canvas, camera } = slices;
  const local = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const under = (event) => tileAt(slices.tiles(), ...local(event));

  listen(canvas, (event) => {
    const tile = under(event);
    if (!tile) return null;
    if (event.button === 2) return (dx, dy) => windowBy(dx, dy);
    if (isPan(event)) {
      return (dx, dy) => {
        camera.pan = camera.pan.map((value, i) => value + tile.dragged(dx, dy)[i] * camera.zoom);
        changed();
      };
    }
    if (event.button !== 0) return null;
    const place = (at) => {
      const [x, y] = local(at);
      goTo(tile.pointAt(x - tile.left, y - tile.top));
    };
    place(event);
    return (dx, dy, next) => place(next);
  });

  let rolled = 0;
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const tile = under(event);
      if (!tile) return;
      if (event.ctrlKey) {
        const zoom = Math.min(12, Math.max(0.4, camera.zoom * Math.exp(-event.deltaY / 400)));
        const [x, y] = local(event);
        const fixed = tile.pointAt(x - tile.left, y - tile.top);
        // NiiVue zooms about the origin of the millimetres: keep the point under the pointer where it is
        camera.pan = camera.pan.map((value, i) => value + fixed[i] * (camera.zoom - zoom));
        camera.zoom = zoom;
        changed();
        return;
      }
      rolled += event.deltaY * (event.deltaMode === 1 ? SCROLL : 1);
      const steps = Math.trunc(rolled / SCROLL);
      if (!steps) return;
      rolled -= steps * SCROLL;
      const to = [...camera.crosshair];
      to[tile.plane.through] -= Math.sign(steps) * spacing();
      goTo(to);
    },
    { passive: false },
  );

  canvas.addEventListener("dblclick", (event) => {
    const tile = under(event);
    if (tile) large(tile.view);
  });

  canvas.addEventListener("keydown", (event) => {
    const moves = {
      ArrowLeft: [1, 0, 0],
      ArrowRight: [-1, 0, 0],
      ArrowUp: [0, 1, 0],
      ArrowDown: [0, -1, 0],
      PageUp: [0, 0, 1],
      PageDown: [0, 0, -1],
    }; // as seen in the axial slice, the patient's right on the left
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.altKey) return;
    event.preventDefault();
    goTo(camera.crosshair.map((value, i) => value + move[i] * (event.shiftKey ? 5 : 1) * spacing()));
  });
}

export function spaceGestures(space, { changed, large }) {
  const { canvas, camera } = space;
  const turn = (dx, dy) => {
    camera.azimuth = (camera.azimuth + dx + 360) % 360;
    camera.elevation = Math.min(90, Math.max(-90, camera.elevation + dy));
    changed();
  };
  listen(canvas, (event) => {
    if (isPan(event)) {
      return (dx, dy) => {
        const [tile] = space.tiles();
        camera.shift = camera.shift.map((value, i) => value - tile.dragged(dx, dy)[i]);
        changed();
      };
    }
    return event.button === 0 ? (dx, dy) => turn(dx * 0.6, dy * 0.6) : null;
  });
  const zoom = (factor) => {
    camera.scale = Math.min(8, Math.max(0.3, camera.scale * factor));
    changed();
  };
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 600));
    },
    { passive: false },
  );
  canvas.addEventListener("dblclick", () => large("3d"));
  canvas.addEventListener("keydown", (event) => {
    const turns = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, -5], ArrowDown: [0, 5] };
    if (turns[event.key]) turn(...turns[event.key]);
    else if (event.key === "+") zoom(1.1);
    else if (event.key === "-") zoom(1 / 1.1);
    else return;
    event.preventDefault();
  });
}
