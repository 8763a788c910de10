"use strict";

// Improves the form of a webhook, and that of the filters of an event. The forms also work without this script.

(() => {
  // Search for objects of the organization by name: of filters, each one found is added; of the preview, it replaces the id.

  const { tmsObjectsUrl, tmsOrganization, tmsSearch } = document.getElementById("tms-form")?.dataset ?? {};
  let lists = 0;

  async function offer(list, noun, text) {
    const organization = document.getElementById("id_organization")?.value || tmsOrganization;
    if (!organization || !noun) return;
    const query = new URLSearchParams({ noun, organization, q: text });
    const response = await fetch(`${tmsObjectsUrl}?${query}`, { credentials: "same-origin" });
    if (!response.ok || response.redirected) return;
    const { objects } = await response.json();
    list.replaceChildren(...objects.map(({ id, label }) => Object.assign(new Option("", label), { id: `${list.id}-${id}` })));
  }

  function addPicker(input, nounOf, choose) {
    const list = document.createElement("datalist");
    list.id = `tms-objects-${++lists}`;
    let wait = 0;
    const search = document.createElement("input");
    Object.assign(search, { type: "search", autocomplete: "off", placeholder: tmsSearch, className: "tms-picker" });
    search.setAttribute("aria-label", `${tmsSearch}: ${input.labels[0]?.textContent ?? ""}`);
    search.setAttribute("list", list.id);
    // The server refuses a filter with text that was searched for and not selected.
    if (input.name) Object.assign(search, { name: `${input.name}-search`, value: input.dataset.tmsSearched ?? "" });
    input.after(search, list);
    const load = () => offer(list, nounOf(), search.value).catch(() => {});
    const take = (option) => {
      search.value = "";
      choose(option.id.slice(list.id.length + 1));
      input.dispatchEvent(new Event("input", { bubbles: true }));
    };
    search.addEventListener("focus", load);
    search.addEventListener("keydown", async (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      clearTimeout(wait);
      const text = search.value;
      // Otherwise a search that fails would leave the matches of another text.
      list.replaceChildren();
      await load();
      if (text.trim() && text === search.value && list.options.length === 1) take(list.options[0]);
    });
    search.addEventListener("input", (event) => {
      event.stopPropagation();
      const found = [...list.options].find((option) => option.value === search.value);
      if (found) { take(found); return; }
      clearTimeout(wait);
      wait = setTimeout(load, 250);
    });
  }

  for (const input of document.querySelectorAll("input[data-tms-objects]")) {
    addPicker(input, () => input.dataset.tmsObjects, (id) => {
      if (!`, ${input.value}, `.includes(`, ${id}, `)) input.value = [input.value.trim(), id].filter(Boolean).join(", ");
    });
  }

  const form = document.getElementById("webhook_form");
  const events = document.getElementById("tms-events");
  if (!form || !events) return;

  for (const element of document.querySelectorAll("[data-tms-script]")) element.hidden = false;

  // The number of selected events.

  const counter = events.querySelector("[data-tms-count]");
  const isSelected = (row) => row.querySelector(".tms-choice input").checked;
  const rows = () => [...events.querySelectorAll("[data-tms-event]")];
  const groups = [...events.querySelectorAll("[data-tms-group]")];

  function count() {
    const selected = rows().filter(isSelected).length;
    const { tmsNone, tmsOne, tmsMany } = counter.dataset;
    const text = selected === 0 ? tmsNone : selected === 1 ? tmsOne : tmsMany.replace("#", selected);
    if (counter.textContent !== text) counter.textContent = text;
    for (const group of groups) {
      const number = [...group.querySelectorAll("[data-tms-event]")].filter(isSelected).length;
      group.querySelector("[data-tms-group-count]").textContent = number || "";
    }
  }

  // Of the authentication, only the fields of the selected kind.

  const authentication = document.getElementById("id_authentication");

  function showKind() {
    for (const field of form.querySelectorAll("[data-tms-authentication]")) {
      field.closest(".form-row").hidden = field.dataset.tmsAuthentication !== authentication.value;
    }
  }

  if (authentication) {
    authentication.addEventListener("change", showKind);
    showKind();
  }

  // The errors: a link to a field opens the fold around it. The focus is on the first field with an error.

  function reveal(field) {
    for (let fold = field?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    field?.focus();
  }

  function fieldOf(link) {
    const target = document.getElementById(link.hash.slice(1));
    return target?.matches("input, select, textarea") ? target : target?.querySelector("input, select, textarea");
  }

  const links = [...form.querySelectorAll(".tms-errors a")];
  for (const link of links) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      reveal(fieldOf(link));
    });
  }
  reveal(links.length ? fieldOf(links[0]) : document.getElementById("id_name"));

  // Search.

  const search = document.getElementById("tms-event-search");
  const nothing = events.querySelector("[data-tms-nothing]");
  const wasOpen = new Map();

  const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  function find() {
    const words = folded(search.value).split(/\s+/).filter(Boolean);
    const matches = (text) => words.every((word) => folded(text).includes(word));
    let found = 0;
    for (const group of groups) {
      if (words.length && !wasOpen.has(group)) wasOpen.set(group, group.open);
      const title = group.querySelector("summary").textContent;
      let visible = 0;
      let selected = false;
      for (const row of group.querySelectorAll("[data-tms-event]")) {
        row.hidden = !matches(`${title} ${row.querySelector(".tms-choice").textContent}`);
        visible += row.hidden ? 0 : 1;
        selected ||= isSelected(row);
      }
      group.hidden = visible === 0;
      group.open = words.length ? visible > 0 : selected || (wasOpen.get(group) ?? group.open);
      found += visible;
    }
    if (!words.length) wasOpen.clear();
    nothing.hidden = found > 0;
  }

  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    // Keeps Enter from submitting the form.
    if (event.key === "Enter") event.preventDefault();
    if (event.key === "Escape") { search.value = ""; find(); }
  });

  // The contents of selected events: a button for each event that has none, and one that removes a content.

  const contents = form.querySelector("[data-tms-contents]");

  function offerContents() {
    const given = new Set([...contents.querySelectorAll("input")].map((input) => input.value));
    const missing = rows().filter(isSelected).map((row) => row.dataset.tmsEvent).filter((name) => !given.has(name));
    const offers = contents.querySelector(".tms-offers") ?? contents.appendChild(document.createElement("p"));
    offers.className = "tms-offers";
    offers.replaceChildren(...(missing.length ? [contents.dataset.tmsContents] : []));
    for (const name of new Set(missing)) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "tms-link", textContent: name });
      button.addEventListener("click", () => addContent(name));
      offers.append(" ", button);
    }
  }

  function addContent(name) {
    const pairs = [...contents.querySelectorAll(".tms-content")];
    const empty = pairs[pairs.length - 1];
    const pair = empty.cloneNode(true);
    const [input, area] = pair.querySelectorAll("input, textarea");
    input.value = name;
    area.value = document.getElementById("id_content").value;
    area.setAttribute("aria-label", name);
    empty.before(pair);
    area.focus();
    form.dispatchEvent(new Event("input"));
  }

  if (contents) {
    offerContents();
    document.getElementById("tms-content-events").append(...rows().map((row) => new Option(row.dataset.tmsEvent)));
    form.addEventListener("input", offerContents);
    contents.addEventListener("click", ({ target }) => {
      if (!target.matches("[data-tms-remove]")) return;
      const pair = target.closest(".tms-content");
      if (pair.nextElementSibling?.matches(".tms-content")) pair.remove();
      else for (const field of pair.querySelectorAll("input, textarea")) field.value = "";
      form.dispatchEvent(new Event("input"));
    });
  }

  // The preview, and the tokens of the selected events.

  const box = document.getElementById("tms-preview");
  const sample = document.getElementById("tms-preview-event");
  for (const { dataset } of sample ? rows() : []) {
    const known = [...sample.options].some((option) => option.value === dataset.tmsEvent);
    if (!known && !dataset.tmsEvent.endsWith("*")) sample.append(new Option(dataset.tmsEvent));
  }
  const subject = document.getElementById("tms-preview-subject");
  if (subject) {
    const first = () => rows().find(isSelected)?.dataset.tmsEvent ?? "";
    addPicker(subject, () => (sample.value || first()).split(".")[0], (id) => { subject.value = id; });
  }
  const result = box && box.querySelector("[data-tms-result]");
  const fields = ["id_url", "id_content"].map((id) => document.getElementById(id)).filter(Boolean);
  let last = fields[0];
  let timer = 0;
  let requests = 0;

  async function preview() {
    const number = ++requests;
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
    if (number !== requests) return; // A newer request is in flight.
    result.hidden = false;
    if (!page) { result.textContent = result.dataset.tmsFailed; return; }
    const fresh = new DOMParser().parseFromString(page, "text/html");
    for (const code of fresh.querySelectorAll("code[data-tms-token]")) {
      code.replaceWith(Object.assign(document.createElement("button"), { type: "button", textContent: code.textContent }));
    }
    for (const part of fresh.querySelectorAll("[data-tms-live]")) {
      for (const shown of form.querySelectorAll(`[data-tms-live="${part.dataset.tmsLive}"]`)) {
        if (shown.innerHTML !== part.innerHTML) shown.innerHTML = part.innerHTML;
      }
    }
  }

  // The tokens stand below the URL from the beginning. If an answer put them there, it would move the events before a click.
  function placeTokens(tokens, row) {
    // The element of Django's help text differs between versions.
    const help = Object.assign(document.createElement("div"), { className: "help" });
    help.append(tokens);
    (row.querySelector(".help")?.parentElement ?? row).append(help);
    tokens.addEventListener("click", ({ target }) => { if (target.matches("button")) insert(target.textContent); });
  }

  function insert(token) {
    const target = last.offsetParent === null ? fields[0] : last;
    target.focus();
    target.setRangeText(token, target.selectionStart, target.selectionEnd, "end");
    target.dispatchEvent(new Event("input", { bubbles: true }));
  }

  form.addEventListener("focusin", ({ target }) => {
    if (fields.includes(target) || target.matches(".tms-content textarea")) last = target;
  });

  form.addEventListener("input", (event) => {
    if (event.target === search) return;
    count();
    if (!box) return;
    clearTimeout(timer);
    timer = setTimeout(preview, 350);
  });

  count();
  if (box) {
    box.querySelector(".tms-show").hidden = true;
    placeTokens(box.querySelector(".tms-tokens"), form.querySelector(".form-row.field-url"));
    preview();
  }
})();
