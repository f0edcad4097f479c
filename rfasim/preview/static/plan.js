// The left panel: device, needle in millimetres, protocol, switches. Every change is told once, when it is final.

const $ = (id) => document.getElementById(id);
const WAIT = 500; // ms: clicks on a number field's arrows are sent together

export class Plan {
  // onSet(changes): fields of a `set` message
  constructor(onSet) {
    this.onSet = onSet;
    this.number = 0; // the electrode that the fields show
    $("electrode").addEventListener("change", () => this.choose(Number($("electrode").value)));
    $("device").addEventListener("click", () => $("devices-dialog").showModal());
    $("model").addEventListener("change", () => this.onSet({ model: $("model").value, electrode: this.number }));
    $("protocol").addEventListener("change", () => this.onSet({ protocol: $("protocol").value }));
    for (const name of ["pringle", "vessels"]) {
      $(name).addEventListener("change", () => this.onSet({ [name]: $(name).checked }));
    }
    this.numberField($("power"), (value) => ({ power_w: value }));
    this.numberField($("minutes"), (value) => ({ minutes: value }));
    for (const which of ["entry", "target"]) {
      for (const axis of [0, 1, 2]) {
        this.numberField($(`${which}-${axis}`), (value) => {
          const point = [...this.electrode[which]];
          point[axis] = value;
          return { [which]: point, electrode: this.number };
        });
      }
    }
  }

  get electrode() {
    return this.data.case.electrodes[this.number];
  }

  choose(number) {
    if (number === this.number) return;
    this.number = number;
    this.show(this.data);
  }

  // Enter and leaving the field send at once, its arrows after a moment; what is no number goes back.
  numberField(field, changes) {
    let timer = null;
    const send = () => {
      clearTimeout(timer);
      timer = null;
      if (!this.data || field.value === field.dataset.shown) return;
      const value = field.valueAsNumber;
      if (!Number.isFinite(value)) {
        field.value = field.dataset.shown;
        return;
      }
      field.dataset.shown = field.value;
      this.onSet(changes(value));
    };
    field.addEventListener("change", () => {
      clearTimeout(timer);
      timer = setTimeout(send, WAIT);
    });
    field.addEventListener("blur", send);
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") send();
      if (event.key === "Escape") {
        event.stopPropagation();
        field.value = field.dataset.shown;
      }
    });
  }

  show(data) {
    this.data = data;
    const { case: plan, choices } = data;
    this.number = Math.min(this.number, plan.electrodes.length - 1);
    const { electrode } = this;
    $("case-name").textContent = plan.name;
    $("case-name").title = plan.name;
    $("electrode-row").hidden = plan.electrodes.length < 2;
    options(
      $("electrode"),
      plan.electrodes.map(({ title }, i) => [String(i), `${i + 1}: ${title}`]),
      String(this.number),
    );
    const device = choices.devices.find((one) => one.device === electrode.device);
    $("device-title").textContent = device?.title ?? electrode.title ?? electrode.device;
    picture($("device-drawing"), device && drawing(device.drawing, electrode.model));
    options(
      $("model"),
      (device?.models ?? []).map(({ model, title }) => [model, title]),
      electrode.model,
    );
    $("model").title = electrode.title ?? "";
    $("model").disabled = (device?.models.length ?? 0) < 2;
    options(
      $("protocol"),
      choices.protocols.map(({ id, title }) => [id, title]),
      plan.protocol,
    );
    put($("power"), plan.power_w);
    $("power").disabled = !plan.power_applies;
    $("power-note").hidden = plan.power_applies;
    put($("minutes"), plan.minutes);
    this.points(electrode);
    for (const name of ["pringle", "vessels"]) {
      $(name).checked = plan[name];
      $(name).disabled = !plan[`${name}_possible`];
    }
    $("compare").disabled = !plan.pringle_possible;
    this.cards(choices.devices, electrode);
  }

  // The needle's numbers follow a drag.
  points({ entry, target }) {
    for (const [which, point] of Object.entries({ entry, target })) {
      point.forEach((value, axis) => put($(`${which}-${axis}`), Math.round(value * 10) / 10));
    }
  }

  cards(devices, electrode) {
    const state = JSON.stringify([devices, electrode.device]);
    if (state === this.cardState) return;
    this.cardState = state;
    $("devices").replaceChildren(
      ...devices.map((device) => {
        const card = document.createElement("button");
        card.type = "button";
        card.className = "card";
        card.setAttribute("aria-pressed", String(device.device === electrode.device));
        const image = document.createElement("img");
        image.alt = "";
        picture(image, device.drawing);
        const title = document.createElement("strong");
        title.textContent = device.title;
        const models = document.createElement("span");
        models.textContent = device.models.map((model) => model.title).join(", ");
        card.append(image, title, models);
        card.addEventListener("click", () => {
          $("devices-dialog").close();
          if (device.device === this.electrode.device) return;
          this.onSet({ device: device.device, model: device.models[0]?.model, electrode: this.number });
        });
        return card;
      }),
    );
  }
}

function put(field, value) {
  if (field === document.activeElement && field.value !== field.dataset.shown) return; // being typed
  field.value = value ?? "";
  field.dataset.shown = field.value;
}

// Only addresses of this server, whatever a case says.
function drawing(url, model) {
  if (!url) return null;
  const address = new URL(url, location.href);
  if (model) address.searchParams.set("model", model);
  return address.origin === location.origin ? address.href : null;
}

function picture(image, url) {
  image.hidden = !url;
  if (url && image.src !== url) image.src = url;
}

export function options(select, entries, chosen) {
  const state = JSON.stringify(entries);
  if (select.dataset.entries !== state) {
    select.dataset.entries = state;
    select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
  }
  select.value = chosen;
}
