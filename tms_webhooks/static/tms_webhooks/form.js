"use strict";

// What makes the form of a webhook more pleasant. It says and does nothing that the page can't do without it.

(() => {
  const form = document.getElementById("webhook_form");
  const events = document.getElementById("tms-events");
  if (!form || !events) return;

  for (const element of document.querySelectorAll("[data-tms-script]")) element.hidden = false;

  // How many events are chosen.

  const counter = events.querySelector("[data-tms-count]");
  const isChosen = (row) => row.querySelector(".tms-choice input").checked;
  const rows = [...events.querySelectorAll("[data-tms-event]")];
  const groups = [...events.querySelectorAll("[data-tms-group]")];

  function count() {
    const chosen = rows.filter(isChosen).length;
    const { tmsNone, tmsOne, tmsMany } = counter.dataset;
    const told = chosen === 0 ? tmsNone : chosen === 1 ? tmsOne : tmsMany.replace("#", chosen);
    if (counter.textContent !== told) counter.textContent = told;
    for (const group of groups) {
      const number = [...group.querySelectorAll("[data-tms-event]")].filter(isChosen).length;
      group.querySelector("[data-tms-group-count]").textContent = number || "";
    }
  }

  // What is not chosen is sent by its name alone: there is a limit to the number of fields that Django reads.

  form.addEventListener("formdata", ({ formData }) => {
    for (const row of rows) {
      if (isChosen(row)) continue;
      for (const { name, type } of row.querySelectorAll("[name]")) if (type !== "hidden") formData.delete(name);
    }
  });

  // Search.

  const search = document.getElementById("tms-event-search");
  const nothing = events.querySelector("[data-tms-nothing]");
  const wasOpen = new Map();

  function find() {
    const words = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (text) => words.every((word) => text.toLowerCase().includes(word));
    let found = 0;
    for (const group of groups) {
      if (words.length && !wasOpen.has(group)) wasOpen.set(group, group.open);
      const title = group.querySelector("summary").textContent;
      let here = 0;
      let chosen = false;
      for (const row of group.querySelectorAll("[data-tms-event]")) {
        row.hidden = !matches(`${title} ${row.querySelector(".tms-choice").textContent}`);
        here += row.hidden ? 0 : 1;
        chosen ||= isChosen(row);
      }
      group.hidden = here === 0;
      group.open = words.length ? here > 0 : chosen || (wasOpen.get(group) ?? group.open);
      found += here;
    }
    if (!words.length) wasOpen.clear();
    nothing.hidden = found > 0;
  }

  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    // Not a click on the first button of the form.
    if (event.key === "Enter") event.preventDefault();
    if (event.key === "Escape") { search.value = ""; find(); }
  });

  // The preview, and the tokens of the events that are chosen.

  const box = document.getElementById("tms-preview");
  const result = box && box.querySelector("[data-tms-result]");
  const fields = ["id_url", "id_content"].map((id) => document.getElementById(id)).filter(Boolean);
  let last = fields[0];
  let waiting = 0;
  let asked = 0;

  async function preview() {
    const number = ++asked;
    let page;
    try {
      const response = await fetch(box.dataset.tmsPreview, {
        method: "POST",
        body: new FormData(form),
        credentials: "same-origin",
        headers: { "X-Requested-With": "fetch" },
      });
      if (!response.ok) throw new Error(response.statusText);
      page = await response.text();
    } catch {
      page = "";
    }
    if (number !== asked) return; // a newer one is on its way
    result.hidden = false;
    if (page) { result.innerHTML = page; offerTokens(); }
    else result.textContent = result.dataset.tmsFailed;
  }

  function offerTokens() {
    const offered = result.querySelector(".tms-tokens");
    const row = form.querySelector(".form-row.field-url");
    if (!offered || !row) return;
    const before = row.querySelector(".tms-tokens");
    offered.open = Boolean(before && before.open);
    for (const element of offered.querySelectorAll("[data-tms-script]")) element.hidden = false;
    for (const code of offered.querySelectorAll("[data-tms-token]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = code.textContent;
      button.addEventListener("click", () => put(code.textContent));
      code.replaceWith(button);
    }
    if (before) before.replaceWith(offered);
    else {
      // Where Django puts its help, which differs from version to version.
      const place = document.createElement("div");
      place.className = "help";
      place.append(offered);
      (row.querySelector(".help")?.parentElement ?? row).append(place);
    }
  }

  function put(token) {
    const target = last.offsetParent === null ? fields[0] : last;
    target.focus();
    target.setRangeText(token, target.selectionStart, target.selectionEnd, "end");
    target.dispatchEvent(new Event("input", { bubbles: true }));
  }

  for (const field of fields) field.addEventListener("focus", () => { last = field; });

  form.addEventListener("input", (event) => {
    if (event.target === search) return;
    count();
    if (!box) return;
    clearTimeout(waiting);
    waiting = setTimeout(preview, 350);
  });

  count();
  if (box) {
    box.querySelector(".tms-show").hidden = true;
    preview();
  }
})();
