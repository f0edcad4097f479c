// Ties the page together: what the server tells goes into `state`, what is seen follows from it.

import { Chance, DeathTimes } from "./zones.js";
import { Files } from "./files.js";
import { Handles } from "./handles.js";
import { Link, bytes } from "./link.js";
import { Plan, options } from "./plan.js";
import { Results } from "./results.js";
import { Runs } from "./runs.js";
import { Timeline } from "./timeline.js";
import { Views } from "./views.js";
import { flip } from "./geometry.js";

const $ = (id) => document.getElementById(id);
const PRESETS = { case: null, liver: [30, 150], tissue: [50, 400], full: null };

const state = {
  data: null,
  scene: null,
  compare: false,
  estimate: null,
  chance: null,
  connected: false,
  reconnected: false,
};
const runs = new Runs();
const plan = new Plan((changes) => set(changes));
const results = new Results((seconds) => timeline.set(seconds));
const timeline = new Timeline(() => showTime());
const handles = new Handles({
  onPreview: (busy) => preview(busy),
  onCommit: (electrode, change) => set({ ...change, electrode }, true),
  onRest: (electrode, change) => {
    if ($("auto").checked) link.send({ do: "head_start", set: { ...change, electrode } });
  },
});
const views = new Views($("sides"), handles, {
  onPosition: (text) => ($("position").textContent = text),
  onWindow: (centre, width) => showWindow(centre, width, ""),
  onLayout: (name) => ($("layout").value = name),
  onProblem: (text) => say(text, true),
});
new Files({ onSay: (text) => say(text), onProblem: (error) => say(error.message, true, error.lines) });

// ---- what the server tells

const events = {
  scene: (event) => openScene(event),
  case: (event) => showCase(event),
  refused: (event) => {
    handles.setElectrodes(state.data.case.electrodes);
    plan.show(state.data);
    say(event.message, true, event.lines);
  },
  started: (event) => {
    runs.started(event);
    showRun();
  },
  frame: (event) => {
    runs.frame(event);
    showRun();
  },
  zone: (event, data) => {
    runs.zone(new DeathTimes(event, data));
    showTime();
  },
  done: (event) => {
    runs.done(event);
    if (event.side === "a") say(event.level === "fine" ? "Refined." : "Quick look ready.");
    showRun();
    showMargins(event.side);
  },
  failed: (event) => {
    runs.failed(event);
    say(`The computation failed: ${event.message}`, true);
    showRun();
  },
  cancelled: () => {
    runs.cancelled();
    if (state.estimate && !state.estimate.volumes) state.estimate.stopped = true;
    say("Cancelled.");
    showRun();
  },
  uncertainty: (event) => {
    state.estimate = {
      ...state.estimate,
      ...event,
      signature: state.estimate?.signature ?? signature(),
      stopped: false,
    };
    showRun();
  },
  probability: (event, data) => {
    state.chance = new Chance(event, data);
    showTime();
  },
  busy: (event) => say(event.message),
  note: (event) => say(event.message),
};

const link = new Link({
  onEvent: (event, data) => {
    const handler = events[event.event];
    if (!handler) return;
    if (event.run !== undefined && event.event !== "cancelled" && !belongs(event)) return;
    handler(event, data);
  },
  onOpen: () => {
    Object.assign(state, { connected: true, reconnected: true });
    runs.cancelled();
    if (state.compare) link.send({ do: "compare", on: true });
    showBanner("");
    showRun();
  },
  onLost: (tries) => {
    state.connected = false;
    showBanner(
      tries < 4
        ? "Connection to the server lost. Connecting again ..."
        : "The server does not answer. If it was stopped, start rfasim preview again and open the address it prints.",
    );
    showRun();
  },
});

// Whether an event is of the newest run. A higher number is a new run, of which a page that was loaded again may not
// have seen the start; after a connection was lost the server may have been started anew, and count anew.
function belongs(event) {
  if (event.run < runs.number && !state.reconnected) return false;
  if (event.run !== runs.number || (state.reconnected && event.event === "started")) newRun(event.run);
  state.reconnected = false;
  return true;
}

// ---- scene and case

let opening = Promise.resolve(); // scenes are opened one after the other

function openScene(event) {
  const known = state.scene?.key === event.key;
  state.scene = event;
  if (!known) opening = opening.then(() => state.scene === event && loadScene(event));
}

async function loadScene(event) {
  try {
    await ready;
    say("Loading the images ...");
    await views.open(event);
    const ct = event.background.kind === "ct";
    $("window-fields").hidden = !ct;
    $("outlines-label").hidden = !event.labels_url;
    if (ct) {
      const { global_min: low, global_max: high } = views.background;
      PRESETS.case = event.background.window;
      PRESETS.full = [(low + high) / 2, high - low];
      const entries = [
        ["case", "As opened"],
        ["liver", "Liver"],
        ["tissue", "Soft tissue"],
        ["full", "Full range"],
        ["", "Own"],
      ];
      options($("preset"), PRESETS.case ? entries : entries.slice(1), "");
      const first = PRESETS.case ? "case" : "tissue"; // which is what views.open takes
      showWindow(...PRESETS[first], first);
    }
    say("");
    surfaceWishes.clear();
    for (const side of Object.keys(runs.sides)) showMargins(side);
    showTime();
  } catch (error) {
    state.scene = { ...event, key: null }; // so that the next connection tries again
    say(`The images cannot be shown: ${error.message}`, true);
  }
}

function showCase(event) {
  state.data = event;
  plan.show(event);
  handles.setElectrodes(event.case.electrodes);
  options(
    $("zone-model"),
    event.choices.zone_models.map(({ id, title }) => [id, title]),
    event.case.zone_model,
  );
  const urls = event.case.electrodes.map(({ url }) => url).filter(Boolean);
  if (JSON.stringify(urls) !== JSON.stringify(state.urls)) {
    state.urls = urls;
    ready.then(() => views.setDevices(urls)).catch((error) => say(error.message, true));
  }
  showRun();
  showTime();
}

// What a run depends on: tells whether a result belongs to the plan as it is now.
function signature() {
  if (!state.data) return "";
  const { electrodes, protocol, power_w, minutes, pringle, vessels } = state.data.case;
  const poses = electrodes.map(({ device, model, entry, target }) => [device, model, entry, target]);
  return JSON.stringify([poses, protocol, power_w, minutes, pringle, vessels]);
}

const stale = () => runs.number >= 0 && runs.signature !== null && runs.signature !== signature();

// The model that the sentences and numbers are of, where it is another than the one whose zone is shown.
function otherModel() {
  if (runs.number < 0 || !state.data || runs.model === state.data.case.zone_model) return null;
  return state.data.choices.zone_models.find(({ id }) => id === runs.model)?.title ?? runs.model;
}

function newRun(number) {
  runs.begin(number, signature(), state.data?.case.zone_model);
  state.estimate = state.chance = null;
  timeline.atEnd = true;
  surfaceWishes.clear();
  for (const side of ["a", "b"]) {
    views.setZoneSurface(side, null);
    views.setMargins(side, null);
  }
}

function titles() {
  if (!state.compare) return {};
  const on = state.data?.case.pringle;
  return { a: `A: ${on ? "with" : "without"} Pringle`, b: `B: ${on ? "without" : "with"} Pringle` };
}

// ---- what is seen

function showRun() {
  const old = stale();
  const estimating = state.estimate && !state.estimate.volumes && !state.estimate.stopped;
  const first = runs.shown("a") ?? runs.shown("b");
  $("plan-fields").disabled = $("more-fields").disabled = !state.connected || !state.data;
  $("cancel").disabled = !(runs.running || estimating);
  $("uncertainty").disabled = Boolean(estimating);
  $("undo").disabled = !state.connected || !state.data?.can_undo;
  $("redo").disabled = !state.connected || !state.data?.can_redo;
  $("report").disabled = runs.sides.a?.fine?.status !== "done" || old;
  timeline.show({ end: runs.end, growing: runs.growing, now: first?.time ?? 0 });
  results.show(runs, { titles: titles(), stale: old, otherModel: otherModel() });
  results.uncertainty(state.estimate, state.estimate && state.estimate.signature !== signature());
  views.setTitles(titles());
  showTime();
}

function showTime() {
  if (!state.data || !views.scene) return;
  const model = state.data.case.zone_model;
  const time = timeline.time;
  const volumes = [];
  const strength = stale() || handles.busy ? 0.45 : 1;
  const chance = state.chance && $("chance-shown").checked ? { source: state.chance, chance: true, strength } : null;
  for (const side of state.compare ? ["a", "b"] : ["a"]) {
    const times = runs.times(side, model);
    const growing = runs.shown(side)?.status === "running";
    const at = growing ? (times?.now ?? 0) : time;
    const zone = times && at > 0 ? { source: times, time: at, strength } : null;
    views.setField(side, (side === "a" && chance) || zone);
    const name = state.compare ? side.toUpperCase() : "zone";
    if (times) volumes.push(`${name} ${times.millilitres(at).toFixed(1)} mL`);
    wishSurface(side, times, at);
  }
  timeline.say(volumes.join("   "));
  results.draw(runs, time);
}

// The zone's surface comes from the server: one question at a time a side, always for the newest wish.
const surfaceWishes = new Map();

function zoneAddress(side, { model, run, level }, time) {
  return `/api/zone/${side}/${encodeURIComponent(model)}.mz3?t=${Math.round(time)}&run=${run}&level=${level}`;
}

async function wishSurface(side, times, time) {
  const wish = times && zoneAddress(side, times, time);
  const entry = surfaceWishes.get(side) ?? {};
  surfaceWishes.set(side, entry);
  entry.wish = wish;
  if (entry.asking || entry.shown === wish) return;
  entry.asking = true;
  try {
    while (entry.wish !== entry.shown && surfaceWishes.get(side) === entry) {
      const asked = entry.wish;
      const data = asked && (await bytes(asked).catch(() => null));
      if (surfaceWishes.get(side) !== entry) return;
      entry.shown = asked;
      await views.setZoneSurface(side, data);
    }
  } finally {
    entry.asking = false;
  }
}

async function showMargins(side) {
  const answer = runs.shown(side)?.answer;
  if (!views.scene) return;
  if (!answer?.tumours || !$("margin").checked) {
    await views.setMargins(side, null);
    return;
  }
  const run = runs.number;
  try {
    const surfaces = await Promise.all(answer.tumours.map(async ({ id, url }) => [id, await bytes(url)]));
    if (run === runs.number && $("margin").checked) await views.setMargins(side, Object.fromEntries(surfaces));
  } catch (error) {
    say(error.message, true);
  }
}

function preview(busy) {
  views.fadeDevices(busy);
  if (!state.data) return;
  const [number] = handles.drafts.keys();
  if (number !== undefined) {
    const { entry, target } = handles.place(number);
    plan.choose(number);
    plan.points({ entry: flip(entry), target: flip(target) });
  } else plan.points(plan.electrode);
  showTime();
}

function showWindow(centre, width, preset) {
  $("level").value = centre;
  $("width").value = width;
  $("level-value").textContent = `${Math.round(centre)} HU`;
  $("width-value").textContent = `${Math.round(width)} HU`;
  $("preset").value = preset;
}

function showBanner(text) {
  $("banner").hidden = !text;
  $("banner").textContent = text;
}

function say(text, problem = false, lines = []) {
  $("status").textContent = problem ? "" : text;
  $("status").title = text;
  $("problem").hidden = !problem;
  if (!problem) return;
  $("problem-text").textContent = text;
  $("problem-lines").textContent = (lines ?? []).filter((line) => !text.includes(line)).join("\n");
}

// ---- what the user does

function set(changes, run = $("auto").checked) {
  say("");
  if (link.send({ do: "set", set: changes, ...(run ? { run: true } : {}) })) return;
  handles.setElectrodes(state.data.case.electrodes);
  plan.show(state.data);
}

function undo(what) {
  const possible = what === "undo" ? state.data?.can_undo : state.data?.can_redo;
  if (!possible) return;
  link.send({ do: what });
  if ($("auto").checked) link.send({ do: "run" });
}

const run = () => link.send({ do: "run" });

function cancel() {
  if (!handles.cancelDrag() && !$("cancel").disabled) link.send({ do: "cancel" });
}

$("run").addEventListener("click", run);
$("cancel").addEventListener("click", cancel);
$("undo").addEventListener("click", () => undo("undo"));
$("redo").addEventListener("click", () => undo("redo"));
$("dismiss").addEventListener("click", () => say(""));
$("help").addEventListener("click", () => $("help-dialog").showModal());
$("report").addEventListener("click", () => open("/api/report.html", "_blank", "noopener"));
$("zone-model").addEventListener("change", () => set({ zone_model: $("zone-model").value }, false));
$("margin").addEventListener("change", () => Object.keys(runs.sides).forEach(showMargins));
$("chance-shown").addEventListener("change", showTime);
$("layout").addEventListener("change", () => views.setLayout($("layout").value));
$("reset-view").addEventListener("click", () => {
  views.home();
  views.goTo(flip(state.scene.centre));
});
$("outlines").addEventListener("change", () => views.setOutlines($("outlines").checked));
$("preset").addEventListener("change", () => {
  const chosen = PRESETS[$("preset").value];
  if (!chosen) return;
  views.setWindow(...chosen);
  showWindow(...chosen, $("preset").value);
});
for (const id of ["level", "width"]) {
  $(id).addEventListener("input", () => {
    const [centre, width] = [$("level").valueAsNumber, $("width").valueAsNumber];
    views.setWindow(centre, width);
    showWindow(centre, width, "");
  });
}
$("compare").addEventListener("change", async () => {
  state.compare = $("compare").checked;
  link.send({ do: "compare", on: state.compare });
  await views.compare(state.compare);
  if (!state.compare) delete runs.sides.b;
  showRun();
});
$("uncertainty").addEventListener("click", () => {
  const number = $("runs").valueAsNumber;
  if (!Number.isInteger(number) || number < 1) {
    say("The number of runs has to be a whole number above 0.", true);
    return;
  }
  state.estimate = { done: 0, of: number, signature: signature() };
  state.chance = null;
  runs.cancelled(); // the solvers turn to the estimate
  showRun();
  link.send({ do: "uncertainty", runs: number });
});

addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea, dialog");
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (key === "escape" && !event.target.closest?.("dialog")) cancel();
  if (typing) return;
  if (control && key === "z") undo(event.shiftKey ? "redo" : "undo");
  else if (control && key === "y") undo("redo");
  else if (key === "r" && !control && !event.altKey) run();
  else return;
  event.preventDefault();
});

const ready = views.start().catch((error) => {
  say(`The views cannot be drawn: ${error.message}. The browser has to offer WebGL 2.`, true);
  throw error;
});
showRun();

// Read only, for tests: no pixel has to be guessed.
window.rfasim = Object.freeze({
  state: () =>
    structuredClone({
      case: state.data?.case ?? null,
      scene: state.scene?.key ?? null,
      connected: state.connected,
      compare: state.compare,
      estimate: state.estimate,
      stale: stale(),
      time: timeline.time,
      loaded: Boolean(views.scene && views.sides.a.slices.ready),
      crosshair: flip(views.camera.crosshair),
      window: views.windowed ?? null,
      spacing: views.spacing ?? null,
    }),
  lastRun: () =>
    structuredClone({
      number: runs.number,
      count: runs.count,
      sides: runs.sides,
      running: runs.running,
      growing: runs.growing,
    }),
  canvasPointOf: (lps, view, side = "a") => views.pagePoint(lps, view, side),
  zoneVoxels: (side = "a", model = state.data?.case.zone_model) => runs.times(side, model)?.count(timeline.time) ?? 0,
  surfaces: (side = "a") => [...(views.sides[side]?.space.surfaces.keys() ?? [])],
  framesDrawn: () => views.frames,
});
