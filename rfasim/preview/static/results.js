// The right panel: how far the run is, the verdict, the sentences, the numbers, the curves, the uncertainty.

import { CHANCES, MARGINS, swatches } from "./palette.js";
import { Curves } from "./curves.js";
import { clock } from "./geometry.js";

const $ = (id) => document.getElementById(id);

const element = (name, text, className) => {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
};

export class Results {
  constructor(onTime) {
    this.curves = new Curves($("curves"), onTime);
    swatches($("margins"), MARGINS);
    swatches($("chance-legend"), CHANCES);
  }

  // titles: {a, b} while two sides are compared, else {}
  show(runs, { titles, stale, otherModel }) {
    const names = Object.keys(runs.sides).sort();
    $("states").replaceChildren(
      ...(names.length ? names : ["a"]).map((name) => state(runs, name, titles[name], stale)),
    );
    const answers = names.map((name) => [name, runs.shown(name)?.answer]).filter(([, answer]) => answer);
    $("answers").replaceChildren(
      ...answers.flatMap(([name, answer]) => sentences(answer, titles[name])),
      table(answers, titles),
    );
    $("answers").classList.toggle("stale", stale || Boolean(otherModel));
    if (otherModel && answers.length) {
      const text = `What follows and the margin colours are for "${otherModel}". Run again to have them for this zone.`;
      $("states").append(element("p", text, "notice"));
    }
  }

  draw(runs, time) {
    const series = Object.keys(runs.sides)
      .sort()
      .map((name) => ({
        history: runs.shown(name)?.history ?? {},
        dashed: name === "b",
        name: name === "b" || runs.sides.b ? name.toUpperCase() : "",
      }));
    this.curves.draw(series, runs.end, runs.number < 0 ? null : time);
  }

  uncertainty(estimate, stale) {
    $("chance").hidden = !estimate;
    if (!estimate) return;
    const { done, of, volumes, words, stopped } = estimate;
    const ended = Boolean(volumes);
    const progress = `${done} of ${of} runs`;
    $("chance-state").textContent = ended ? progress : stopped ? `${progress}, stopped` : `${progress} ...`;
    if (stale) $("chance-state").textContent += ", of an earlier plan";
    $("chance-progress").hidden = ended || stopped;
    $("chance-progress").value = of ? done / of : 0;
    const rows = volumes
      ? [
          ["Dead in 95 % of the runs or more", volumes.in_95],
          ["in 50 % or more", volumes.in_50],
          ["in 5 % or more", volumes.in_5],
        ]
      : [];
    const list = element("table", undefined, "numbers");
    for (const [name, value] of rows) {
      const row = list.insertRow();
      row.append(element("th", name), element("td", `${value.toFixed(1)} mL`));
    }
    $("chance-answers").replaceChildren(...(words ?? []).map((text) => element("p", text)), list);
  }
}

function state(runs, name, title, stale) {
  const box = element("div", undefined, "state");
  if (title) box.append(element("h3", title));
  const { coarse, fine } = runs.sides[name] ?? {};
  const add = (text, kind) => box.append(element("p", text, kind));
  const share = (level) => `${Math.round(100 * level.share)} %`;
  if (!coarse && !fine) {
    add("No run yet. Move the needle, or press Run.", "quiet");
    return box;
  }
  const bar = (level) => {
    const progress = element("progress");
    progress.max = 1;
    progress.value = level.share;
    progress.setAttribute("aria-label", "Share of the run that is done");
    box.append(progress);
  };
  if (coarse?.status === "running") {
    add(`Quick look: ${clock(coarse.time)} of ${clock(60 * coarse.minutes)} min`, "coarse");
    bar(coarse);
  } else if (fine?.status === "done") {
    const { seconds, difference } = fine.answer;
    add(`Refined, in ${seconds.toFixed(1)} s`, "fine");
    if (difference) add(`Differs from the quick look by ${different(difference)}`, "quiet");
  } else if (fine?.status === "running") {
    add(coarse ? `Quick look, refining ... ${share(fine)}` : `Computing ... ${share(fine)}`, "coarse");
    bar(fine);
  } else if (coarse?.status === "done") {
    const seconds = coarse.answer.seconds.toFixed(1);
    add(fine?.status === "cancelled" ? "Quick look; refinement cancelled" : `Quick look, in ${seconds} s`, "coarse");
  }
  const failures = [coarse, fine].filter((level) => level?.status === "failed").map(({ message }) => message);
  for (const message of new Set(failures)) add(`Failed: ${message}`, "error");
  if (coarse?.status === "cancelled" || (!coarse && fine?.status === "cancelled")) add("Cancelled.", "quiet");
  if (stale) add("The plan has changed since this run.", "notice");
  return box;
}

function different({ mean_mm: mean, largest_mm: largest, volume_percent: volume }) {
  const sign = volume > 0 ? "+" : volume < 0 ? "−" : "";
  const change = `${sign}${Math.abs(volume).toFixed(1)} % volume`;
  return `${mean.toFixed(1)} mm on average, ${largest.toFixed(1)} mm at most, ${change}`;
}

const VERDICTS = { complete: "Tumour completely covered", incomplete: "Tumour not completely covered" };

function sentences(answer, title) {
  const nodes = [];
  if (title) nodes.push(element("h3", title));
  if (answer.verdict)
    nodes.push(
      element(
        "p",
        VERDICTS[answer.verdict] ?? answer.verdict,
        `verdict ${answer.verdict === "complete" ? "complete" : "incomplete"}`,
      ),
    );
  for (const text of answer.words ?? []) nodes.push(element("p", text));
  return nodes;
}

// One column a side; rows by name, in the order of the first side.
function table(answers, titles) {
  const list = element("table", undefined, "numbers");
  const names = [...new Set(answers.flatMap(([, answer]) => (answer.numbers ?? []).map(({ name }) => name)))];
  if (answers.length > 1) {
    const head = list.createTHead().insertRow();
    head.append(
      element("td"),
      ...answers.map(([side]) => element("th", titles[side]?.split(":")[0] ?? side.toUpperCase())),
    );
  }
  const body = list.createTBody();
  for (const name of names) {
    const row = body.insertRow();
    const header = element("th", name);
    header.scope = "row";
    row.append(header);
    for (const [, answer] of answers) {
      row.append(element("td", answer.numbers?.find((one) => one.name === name)?.value ?? ""));
    }
  }
  return list;
}
