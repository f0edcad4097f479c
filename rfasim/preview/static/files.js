// Files that the user drops or picks: cases and images, and the table that says what labels are.

import { post } from "./link.js";
import { options } from "./plan.js";

const $ = (id) => document.getElementById(id);

export class Files {
  // onSay(text), onProblem(error)
  constructor({ onSay, onProblem }) {
    Object.assign(this, { onSay, onProblem });
    $("open-case").addEventListener("click", () => $("case-file").click());
    $("add-images").addEventListener("click", () => $("image-files").click());
    for (const id of ["case-file", "image-files"]) {
      $(id).addEventListener("change", () => {
        this.take([...$(id).files]);
        $(id).value = "";
      });
    }
    let inside = 0; // enter and leave come for every element under the pointer
    const show = (on) => {
      $("drop").hidden = !on;
    };
    addEventListener("dragenter", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      inside++;
      show(true);
    });
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("dragleave", () => {
      inside = Math.max(0, inside - 1);
      if (!inside) show(false);
    });
    addEventListener("drop", (event) => {
      event.preventDefault();
      inside = 0;
      show(false);
      this.take([...(event.dataTransfer?.files ?? [])]);
    });
    $("roles-use").addEventListener("click", () => this.useRoles());
  }

  async take(files) {
    for (const file of files) {
      try {
        if (/\.ya?ml$/i.test(file.name)) {
          await post("/api/case", await file.text());
          this.onSay(`${file.name} opened.`);
        } else await this.upload(file);
      } catch (error) {
        this.onProblem(error);
      }
    }
  }

  async upload(file) {
    this.onSay(`Reading ${file.name}, ${(file.size / 1e6).toFixed(1)} MB ...`);
    const answer = await post(`/api/upload?name=${encodeURIComponent(file.name)}`, file);
    if (answer.what !== "labels") {
      this.onSay(`${file.name} read.`);
      return;
    }
    await this.askRoles(file.name, answer);
  }

  // Resolves when the dialog is closed, so that files dropped together are asked for one after the other.
  askRoles(name, { labels, roles }) {
    this.file = name;
    $("roles-file").textContent = name;
    $("roles-error").textContent = "";
    $("roles").replaceChildren(
      ...labels.map((label) => {
        const row = document.createElement("tr");
        const select = document.createElement("select");
        select.dataset.number = label.number;
        select.setAttribute("aria-label", `What label ${label.number} is`);
        options(
          select,
          roles.map((role) => [role, role]),
          label.role,
        );
        for (const content of [String(label.number), label.name, select]) {
          const cell = row.insertCell();
          cell.append(content);
        }
        return row;
      }),
    );
    $("roles-dialog").showModal();
    return new Promise((resolve) => {
      $("roles-dialog").addEventListener("close", resolve, { once: true });
    });
  }

  async useRoles() {
    const roles = {};
    for (const select of $("roles").querySelectorAll("select")) roles[select.dataset.number] = select.value;
    $("roles-use").disabled = true;
    try {
      await post("/api/anatomy", JSON.stringify({ file: this.file, roles }));
      $("roles-dialog").close();
      this.onSay(`${this.file} is used.`);
    } catch (error) {
      $("roles-error").textContent = error.message;
    } finally {
      $("roles-use").disabled = false;
    }
  }
}
