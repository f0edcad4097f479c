// What the server told of the newest run: levels (quick look, refined) of the sides a and b, their frames and zones.

const KEYS = ["time_s", "power_w", "impedance_ohm", "max_temperature_c", "zone_volume_ml"];

export class Runs {
  constructor() {
    this.count = -1;
    this.begin(-1, null, null);
  }

  // A new run replaces all that is known. The signature says what plan it is of, the model whose numbers it brings.
  begin(number, signature, model) {
    Object.assign(this, { number, signature, model, sides: {}, zones: new Map(), count: this.count + 1 });
  }

  level(event) {
    const side = (this.sides[event.side] ??= {});
    return (side[event.level] ??= { status: "running", share: 0, time: 0, minutes: event.minutes, history: empty() });
  }

  started(event) {
    const side = (this.sides[event.side] ??= {});
    side[event.level] = { status: "running", share: 0, time: 0, minutes: event.minutes, history: empty() };
  }

  frame(event) {
    const level = this.level(event);
    level.share = event.share;
    level.time = event.time_s;
    for (const key of KEYS) level.history[key].push(event[key]);
  }

  done(event) {
    const level = this.level(event);
    Object.assign(level, { status: "done", share: 1, answer: event });
    if (event.history) level.history = event.history;
    level.time = level.history.time_s.at(-1) ?? level.time;
  }

  failed(event) {
    Object.assign(this.level(event), { status: "failed", message: event.message });
  }

  cancelled() {
    for (const side of Object.values(this.sides)) {
      for (const level of Object.values(side)) if (level.status === "running") level.status = "cancelled";
    }
  }

  zone(times) {
    this.zones.set(`${times.side} ${times.level} ${times.model}`, times);
  }

  // The level that is shown: the refined one once it is done; until then the quick look stays.
  shownLevel(name) {
    const side = this.sides[name];
    if (!side) return null;
    if (side.fine?.status === "done" || !side.coarse) return side.fine ? "fine" : null;
    return "coarse";
  }

  shown(name) {
    const level = this.shownLevel(name);
    return level && this.sides[name][level];
  }

  times(name, model) {
    const level = this.shownLevel(name);
    return level ? (this.zones.get(`${name} ${level} ${model}`) ?? null) : null;
  }

  // While this is true the zone grows on the page and the slider waits.
  get growing() {
    return Object.keys(this.sides).some((name) => this.shown(name)?.status === "running");
  }

  get running() {
    return Object.values(this.sides).some((side) => Object.values(side).some(({ status }) => status === "running"));
  }

  // Seconds that the run lasts: as planned, or what it took when the generator stopped earlier.
  get end() {
    const ends = Object.keys(this.sides).map((name) => {
      const { status, minutes, history } = this.shown(name) ?? { minutes: 0 };
      return (status === "done" && history.time_s.at(-1)) || 60 * (minutes ?? 0);
    });
    return Math.max(0, ...ends);
  }
}

const empty = () => Object.fromEntries(KEYS.map((key) => [key, []]));
