"use strict";
// Explains words, sorts and filters tables, decodes points, and sets one sampler beside real data. Without it the page shows everything.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // --- what a word means, where it stands ---
  const tip = Object.assign(document.createElement("div"), { id: "tip", role: "tooltip", hidden: true });
  document.body.append(tip);
  let shownFor = null;
  const hide = () => {
    if (shownFor) shownFor.removeAttribute("aria-describedby");
    shownFor = null;
    tip.hidden = true;
  };
  const show = (element) => {
    hide();
    shownFor = element;
    tip.textContent = element.dataset.tip;
    tip.hidden = false;
    element.setAttribute("aria-describedby", "tip");
    put();
  };
  const put = () => {
    if (!shownFor) return;
    const at = shownFor.getBoundingClientRect();
    const left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - tip.offsetWidth - 8));
    const below = at.bottom + 6 + tip.offsetHeight < window.innerHeight;
    tip.style.left = `${left}px`;
    tip.style.top = `${below ? at.bottom + 6 : Math.max(0, at.top - 6 - tip.offsetHeight)}px`;
  };
  const explains = (event) => event.target.closest?.("[data-tip]");
  document.addEventListener("focusin", (event) => (explains(event) ? show(explains(event)) : hide()));
  document.addEventListener("mouseover", (event) => {
    if (explains(event)) show(explains(event));
    else if (!event.target.closest?.("#tip") && shownFor !== document.activeElement) hide();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  for (const moved of ["scroll", "resize"]) window.addEventListener(moved, put, { passive: true });

  // --- tables sort by the number that a cell begins with, columns without any by their text; what is absent comes last ---
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace(/^[≥≤]\s*/, "").replaceAll(",", ""));
    return Number.isNaN(number) ? null : number;
  };
  const sort = (table, head) => {
    const column = head.cellIndex;
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const text = (row) => row.cells[column].textContent.trim();
    const numbers = column > 0 && [...body.rows].some((row) => value(row, column) !== null);
    const known = [...body.rows].filter((row) => (numbers ? value(row, column) !== null : text(row) !== "–"));
    const absent = [...body.rows].filter((row) => !known.includes(row));
    known.sort((a, b) => (numbers ? value(a, column) - value(b, column) : text(a).localeCompare(text(b))));
    body.append(...(up ? known : known.reverse()), ...absent);
  };
  for (const table of all("table.sortable")) {
    for (const head of all("thead th", table)) {
      const word = head.querySelector("a.term");
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: head.textContent });
      if (word) button.dataset.tip = word.dataset.tip;
      button.addEventListener("click", () => sort(table, head));
      head.replaceChildren(button);
    }
  }

  // --- the plane of two units: what a pointer or two sliders are at, decoded ---
  for (const plane of all(".plane.decodes")) {
    const at = plane.dataset.at.split(" ");
    const names = plane.dataset.units.split(" ");
    const last = at.length - 1;
    const fields = all(".field", plane);
    const sliders = all("input", plane);
    const decoded = plane.querySelector(".decoded");
    const sprite = Object.assign(new Image(), { src: plane.querySelector(".sprite").src, alt: "" });
    sprite.style.width = sprite.style.height = `${100 * at.length}%`;
    decoded.append(sprite);
    const crosses = fields.map((field) => {
      const cross = Object.assign(document.createElement("span"), { className: "cross" });
      field.append(cross);
      return cross;
    });
    const update = () => {
      const [across, up] = sliders.map((slider) => Number(slider.value));
      sprite.style.left = `${-100 * across}%`;
      sprite.style.top = `${-100 * (last - up)}%`;
      sliders.forEach((slider, place) => {
        const said = at[Number(slider.value)];
        slider.nextElementSibling.textContent = said;
        slider.setAttribute("aria-valuetext", said);
      });
      decoded.setAttribute("aria-label", `Decoded: unit ${names[0]} at ${at[across]}, unit ${names[1]} at ${at[up]}`);
      crosses.forEach((cross, place) => {
        // the field's edges are the grid's ends; the decoded plane's are half a picture beyond
        const part = (step) => (place === 0 ? step / last : (step + 0.5) / at.length);
        cross.style.left = `${100 * part(across)}%`;
        cross.style.top = `${100 * part(last - up)}%`;
      });
    };
    fields.forEach((field, place) => field.addEventListener("pointermove", (event) => {
      const box = field.querySelector("img").getBoundingClientRect();
      const step = (part) => Math.max(0, Math.min(last, place === 0 ? Math.round(part * last) : Math.floor(part * at.length)));
      sliders[0].value = step((event.clientX - box.left) / box.width);
      sliders[1].value = last - step((event.clientY - box.top) / box.height);
      update();
    }));
    for (const slider of sliders) slider.addEventListener("input", update);
    plane.querySelector(".point").hidden = false;
    update();
  }

  // --- one box for the samplers of all tables and pictures; one choice of what stands beside real data ---
  const tools = document.querySelector(".tools");
  if (!tools) return;
  const box = tools.querySelector("input");
  const choice = tools.querySelector("select");
  const said = tools.querySelector("output");
  const names = [...new Set(all("[data-sampler]").map((element) => element.dataset.sampler))];
  const update = () => {
    const wanted = box.value.trim().toLowerCase();
    const fits = (name) => name.toLowerCase().includes(wanted);
    for (const element of all("[data-sampler]")) {
      const tile = element.closest(".tiles");
      element.hidden = !fits(element.dataset.sampler) || (tile && choice?.value && choice.value !== element.dataset.sampler);
    }
    for (const group of all(".tiles")) group.classList.toggle("few", Boolean(choice?.value));
    const n = names.filter(fits).length;
    said.textContent = wanted ? `${n} of ${names.length} samplers` : "";
  };
  box.addEventListener("input", update);
  choice?.addEventListener("change", update);
  tools.hidden = false;
})();
