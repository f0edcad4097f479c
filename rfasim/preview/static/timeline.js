// The time slider below the views.

import { clamp, clock } from "./geometry.js";

const $ = (id) => document.getElementById(id);
const LENGTH = 6; // seconds that playing from start to end takes

export class Timeline {
  constructor(onTime) {
    this.onTime = onTime;
    this.end = 0;
    this.atEnd = true; // a finer result of the same run keeps the chosen time, but the end stays the end
    $("time").addEventListener("input", () => {
      this.pause();
      this.atEnd = $("time").valueAsNumber >= this.end;
      this.onTime();
    });
    $("time").addEventListener("keydown", (event) => {
      if (event.key !== " ") return;
      event.preventDefault();
      if (!$("play").disabled) this.toggle();
    });
    $("play").addEventListener("click", () => this.toggle());
  }

  get time() {
    return $("time").valueAsNumber;
  }

  set(seconds) {
    $("time").value = clamp(seconds, 0, this.end);
    this.atEnd = this.time >= this.end;
    this.onTime();
  }

  // While a run grows the slider only shows how far it is.
  show({ end, growing, now }) {
    this.end = Math.ceil(end);
    $("time").max = this.end || 720;
    $("time").disabled = $("play").disabled = growing || !end;
    if (growing) {
      this.pause();
      this.atEnd = true;
      $("time").value = now;
    } else if (this.atEnd && !this.playing) $("time").value = this.end;
  }

  say(text) {
    $("time-value").textContent = this.end ? `${clock(this.time)} min${text ? `   ${text}` : ""}` : "";
    $("time").setAttribute("aria-valuetext", `${clock(this.time)} minutes. ${text}`);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    $("play").textContent = "Pause";
    if (this.time >= this.end) $("time").value = 0;
    let before = performance.now();
    let exact = this.time;
    const step = (now) => {
      exact += ((now - before) / 1000) * (this.end / LENGTH);
      before = now;
      this.set(exact);
      if (exact >= this.end) this.pause();
      else this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
  }

  pause() {
    if (this.playing) cancelAnimationFrame(this.playing);
    this.playing = null;
    $("play").textContent = "Play";
  }
}
