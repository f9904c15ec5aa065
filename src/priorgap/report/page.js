"use strict";
// Explains words, sorts and filters tables, and sets one sampler beside real data. Without it the page shows everything.
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
    const at = element.getBoundingClientRect();
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
  window.addEventListener("scroll", hide, { passive: true });

  // --- tables sort by the number that a cell begins with; what has none comes last ---
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
    const order = (a, b) => {
      if (column === 0) return a.cells[0].textContent.trim().localeCompare(b.cells[0].textContent.trim());
      return value(a, column) - value(b, column);
    };
    const known = [...body.rows].filter((row) => column === 0 || value(row, column) !== null);
    const absent = [...body.rows].filter((row) => !known.includes(row));
    known.sort(order);
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
