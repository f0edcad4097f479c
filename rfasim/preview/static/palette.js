// Colours that mean something. Margins are those of rfasim.views.MARGIN_COLOURS; the rest is told apart by
// colour-blind readers too (after Okabe and Ito).

export const MARGINS = [
  { colour: "#b2182b", text: "below 0, not covered" },
  { colour: "#f4a582", text: "0 to 5" },
  { colour: "#92c5de", text: "5 to 10" },
  { colour: "#2166ac", text: "10 and more" },
];
export const ZONE = "#ff7a00";
export const CHANCES = [
  { colour: "#d55e00", text: "dead in 95 % of the runs or more" },
  { colour: "#f0e442", text: "in 50 % or more" },
  { colour: "#56b4e9", text: "in 5 % or more" },
];
export const CURVES = { power_w: "#e69f00", impedance_ohm: "#56b4e9", max_temperature_c: "#e58fc0" };

export const unit = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255);

export function swatches(list, entries) {
  list.replaceChildren(
    ...entries.map(({ colour, text }) => {
      const item = document.createElement("li");
      const box = document.createElement("i");
      box.style.backgroundColor = colour;
      item.append(box, text);
      return item;
    }),
  );
}
