"use strict";

// Improves the form of a webhook, which also works without this script.

(() => {
  const labels = document.getElementById("tms-form")?.dataset ?? {};

  function make(tag, properties, attributes = {}) {
    const element = Object.assign(document.createElement(tag), properties);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  // One search box for objects of the organization, by name, in place of an input with their ids.

  let boxes = 0;

  function addPicker(input, nounOf, { many, branches }) {
    const id = `tms-objects-${++boxes}`;
    const label = input.labels?.[0];
    const names = JSON.parse(input.dataset.tmsNames ?? "{}");
    const picked = make("span", { className: "tms-picked" });
    const list = make("ul", { id, hidden: true }, { role: "listbox", "aria-label": labels.tmsSearch });
    const status = make("span", { className: "tms-found" }, { role: "status" });
    const search = make(
      "input",
      { type: "search", autocomplete: "off", placeholder: many ? labels.tmsSearch : labels.tmsSample, className: "tms-picker" },
      { role: "combobox", "aria-expanded": "false", "aria-controls": id, "aria-autocomplete": "list" },
    );
    const name = input.closest("fieldset.tms-filter")?.querySelector("legend").textContent ?? label?.textContent.replace(/:\s*$/, "");
    search.setAttribute("aria-label", `${name ?? ""}: ${labels.tmsSearch}`);
    if (input.ariaInvalid) search.ariaInvalid = input.ariaInvalid;
    // The server refuses a filter with text that was searched for and not selected.
    if (many) Object.assign(search, { name: `${input.name}-search`, value: input.dataset.tmsSearched ?? "" });
    input.after(picked, search, status, list);
    document.getElementById(`${input.id}_helptext`)?.remove();
    const described = (input.getAttribute("aria-describedby") ?? "").split(" ").filter((one) => document.getElementById(one));
    if (described.length) search.setAttribute("aria-describedby", described.join(" "));
    if (label) label.htmlFor = search.id = `${input.id}-picker`;
    input.type = "hidden";
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");

    const ids = () => input.value.split(",").map((one) => one.trim()).filter(Boolean);

    function set(values) {
      input.value = values.join(", ");
      picked.replaceChildren(...values.map((one) => {
        const chip = make("span", { className: "tms-chip", textContent: `${names[one] ?? one} ` });
        const remove = make("button", { type: "button", className: "tms-x" }, { "aria-label": `${labels.tmsToRemove} ${names[one] ?? one}` });
        remove.addEventListener("click", () => { set(ids().filter((other) => other !== one)); search.focus(); });
        chip.append(remove);
        return chip;
      }));
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }

    function mark(option) {
      for (const one of list.children) one.setAttribute("aria-selected", one === option);
      if (option) search.setAttribute("aria-activedescendant", option.id);
      else search.removeAttribute("aria-activedescendant");
      option?.scrollIntoView({ block: "nearest" });
    }

    function show(isOpen) {
      list.hidden = !isOpen || !list.children.length;
      search.setAttribute("aria-expanded", !list.hidden);
      if (list.hidden) mark(null);
    }

    function take(option) {
      const { id: key, name: label } = option.dataset;
      names[key] = label;
      search.value = "";
      status.textContent = "";
      list.replaceChildren();
      show(false);
      set(many ? [...new Set([...ids(), key])] : [key]);
    }

    let requests = 0;

    async function find(organization, text) {
      const query = new URLSearchParams({ noun: nounOf(), organization, q: text, ...(branches() && { branches: 1 }) });
      const response = await fetch(`${labels.tmsObjectsUrl}?${query}`, { credentials: "same-origin" });
      return response.ok && !response.redirected ? (await response.json()).objects : [];
    }

    const organizationOf = () => document.getElementById("id_organization")?.value || labels.tmsOrganization;

    async function load() {
      const organization = organizationOf();
      const text = search.value.trim();
      const number = ++requests;
      if (!organization) status.textContent = labels.tmsFirst;
      if (!organization || !nounOf()) return;
      search.ariaBusy = "true";
      try {
        const found = await find(organization, text);
        if (number !== requests || document.activeElement !== search) return;
        list.replaceChildren(...found.map((one, index) => {
          const option = make("li", { id: `${id}-${index}`, textContent: one.label }, { role: "option", "aria-selected": "false" });
          Object.assign(option.dataset, { id: one.id, name: one.label.split(" · ")[0] });
          return option;
        }));
        // Some objects are not found, such as one that will exist: their id is taken as it is.
        if (!found.length && /^[^\s,]+$/.test(text)) {
          const option = make("li", { id: `${id}-own`, textContent: labels.tmsOwn.replace("#", () => text) }, { role: "option", "aria-selected": "false" });
          Object.assign(option.dataset, { id: text, name: text, own: "" });
          list.append(option);
        }
        status.textContent = found.length ? "" : labels.tmsNothing;
        show(true);
      } catch {
        // The box stays as it is; the next key asks again.
      } finally {
        if (number === requests) search.removeAttribute("aria-busy");
      }
    }

    let wait = 0;
    search.addEventListener("input", (event) => {
      event.stopPropagation();
      clearTimeout(wait);
      wait = setTimeout(load, 200);
    });
    search.addEventListener("focus", load);
    search.addEventListener("blur", () => show(false));
    list.addEventListener("mousedown", (event) => event.preventDefault());
    list.addEventListener("click", ({ target }) => { if (target.matches("li")) take(target); });
    search.addEventListener("keydown", async (event) => {
      const options = [...list.children];
      const active = options.findIndex((option) => option.ariaSelected === "true");
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        if (list.hidden) await load();
        const step = event.key === "ArrowDown" ? 1 : options.length - (active < 0 ? 0 : 1);
        if (options.length) mark(options[(active + step) % options.length]);
      } else if (event.key === "Escape" && (!list.hidden || search.value)) {
        event.preventDefault();
        search.value = "";
        status.textContent = "";
        show(false);
      } else if (event.key === "Backspace" && !search.value && many) {
        set(ids().slice(0, -1));
      } else if (event.key === "Enter") {
        event.preventDefault();
        if (active >= 0) { take(options[active]); return; }
        clearTimeout(wait);
        const text = search.value;
        // Otherwise a search that fails would leave the matches of another text.
        list.replaceChildren();
        await load();
        const [only, ...others] = list.children;
        if (text.trim() && text === search.value && only && !others.length && !("own" in only.dataset)) take(only);
      }
    });
    if (ids().length) set(ids());
    for (const key of many ? [] : ids()) {
      find(organizationOf(), key).then((found) => {
        names[key] = found.find((one) => one.id === key)?.label.split(" · ")[0] ?? key;
        if (input.value === key) set([key]);
      }).catch(() => {}); // The id stays in sight.
    }
    return () => set([]);
  }

  // The object of the event that is previewed or tested: another kind of object begins without one.

  for (const input of document.querySelectorAll("[data-tms-subject], .tms-test #id_subject")) {
    const select = document.getElementById(input.dataset.tmsSubject ?? "id_event_type");
    const first = () => document.querySelector("[data-tms-event] input:checked")?.closest("[data-tms-event]").dataset.tmsEvent;
    const noun = () => (select.value || first() || "").split(".")[0];
    const branches = () => document.getElementById("id_include_children")?.checked ?? "tmsBranches" in labels;
    // The page of a test names the object with its kind.
    const isPrefixed = input.name === "subject";
    if (isPrefixed) input.value = input.value.replace(/^[^:]*:/, "");
    input.form.addEventListener("formdata", ({ formData }) => {
      if (isPrefixed && input.value) formData.set(input.name, `${noun()}:${input.value}`);
    });
    const clear = addPicker(input, noun, { many: false, branches });
    let before = noun();
    select.addEventListener("change", () => {
      if (noun() !== before) clear();
      before = noun();
    });
  }

  // Secrets are masked while they are typed. A button shows them; stored ones are dots, which typing replaces.

  for (const input of document.querySelectorAll("input[type=password]")) {
    const button = make("button", { type: "button", className: "tms-link tms-reveal", hidden: true });
    const show = (isShown) => {
      input.type = isShown ? "text" : "password";
      button.textContent = isShown ? labels.tmsHide : labels.tmsShow;
      button.setAttribute("aria-label", `${button.textContent} ${input.labels[0].textContent.replace(/:\s*$/, "")}`);
    };
    button.addEventListener("click", () => show(input.type === "password"));
    input.addEventListener("input", () => { button.hidden = !input.value || input.value === input.defaultValue; });
    input.addEventListener("focus", () => { if (input.value === input.defaultValue) input.select(); });
    // Browsers keep the text of other inputs.
    input.form.addEventListener("submit", () => show(false));
    input.after(button);
    show(false);
  }

  const form = document.getElementById("webhook_form");
  const events = document.getElementById("tms-events");
  if (!form || !events) return;

  for (const element of document.querySelectorAll("[data-tms-script]")) element.hidden = false;

  // The filters of a subscription: only those chosen have fields; the others are buttons of a menu.

  function improve(box) {
    const menu = box.querySelector(".tms-add-filter");
    const summary = menu.querySelector("summary");
    const list = make("div", { className: "tms-parts" });
    for (const filter of box.querySelectorAll("[data-tms-filter]")) {
      const name = filter.querySelector("legend").textContent;
      const offer = make("button", { type: "button", textContent: name });
      const remove = make("button", { type: "button", className: "tms-x" }, { "aria-label": `${labels.tmsToRemove} ${name}` });
      for (const input of filter.querySelectorAll("[data-tms-objects]")) {
        addPicker(input, () => input.dataset.tmsObjects, { many: true, branches: () => true });
      }
      const choose = (isChosen) => {
        offer.hidden = isChosen;
        if (isChosen) menu.before(filter); else filter.remove();
        menu.hidden = [...list.children].every((one) => one.hidden);
        form.dispatchEvent(new Event("input"));
      };
      offer.addEventListener("click", () => {
        choose(true);
        menu.open = false;
        const fields = filter.querySelectorAll("input:not([type=hidden]), textarea");
        if (fields.length === 1 && fields[0].type === "checkbox") fields[0].checked = true;
        fields[0].focus();
      });
      remove.addEventListener("click", () => { choose(false); summary.focus(); });
      filter.append(remove);
      list.append(offer);
      choose(!menu.contains(filter));
    }
    menu.append(list);
    menu.addEventListener("keydown", (event) => {
      const offers = [...list.children].filter((one) => !one.hidden);
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") { menu.open = false; summary.focus(); }
      if (!step || !menu.open) return;
      event.preventDefault();
      offers.at((offers.indexOf(document.activeElement) + step) % offers.length).focus();
    });
  }

  async function showFilters(row, removed) {
    if (row.ariaBusy) return;
    const [cell, prefix] = [row.cells[1], row.dataset.tmsPrefix];
    row.ariaBusy = "true";
    cell.querySelector(".tms-not-loaded")?.remove();
    try {
      const response = await fetch(`${labels.tmsFiltersUrl}?${new URLSearchParams({ filters: prefix })}`, { credentials: "same-origin" });
      if (!response.ok || response.redirected) throw new Error(response.statusText);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const box = page.querySelector(".tms-filters");
      if (!box) throw new Error("no filters");
      cell.replaceChildren(box);
      improve(box);
      if (removed) box.querySelector(`[data-tms-filter="${removed}"] > .tms-x`)?.click();
      box.querySelector(".tms-add-filter").open = !removed;
      if (!removed) box.querySelector(".tms-parts button:not([hidden])")?.focus();
    } catch {
      cell.append(make("span", { className: "tms-not-loaded", textContent: labels.tmsFailed }, { role: "alert" }));
    } finally {
      row.removeAttribute("aria-busy");
    }
  }

  // A line for each selected event.

  const lines = events.querySelector("[data-tms-lines] tbody");
  const blank = events.querySelector("template[data-tms-line]").content.firstElementChild;
  const linesOf = (pattern) => [...lines.rows].filter((row) => row.dataset.tmsPattern === pattern);

  function addLine(event, prefix) {
    const pattern = event.dataset.tmsEvent;
    const row = document.importNode(blank, true);
    Object.assign(row.dataset, { tmsPattern: pattern, tmsPrefix: prefix, tmsNew: "" });
    const label = event.querySelector("label").firstChild.textContent.trim();
    row.querySelector(".tms-of").textContent = event.closest("[data-tms-group]")?.querySelector(".tms-group-title").textContent ?? "";
    row.querySelector(".tms-named").textContent = label;
    row.querySelector("code").textContent = pattern;
    row.querySelector("[name=removed]").value = prefix;
    for (const text of row.querySelectorAll(".visually-hidden:not(input)")) text.append(` ${label}`);
    return lines.appendChild(row);
  }

  function changeLines(event, isSelected) {
    const known = linesOf(event.dataset.tmsEvent);
    if (isSelected && !known.length) addLine(event, event.dataset.tmsEvent);
    for (const row of known) {
      if ("tmsNew" in row.dataset) row.remove(); else row.hidden = !isSelected;
    }
    lines.parentElement.hidden = ![...lines.rows].some((row) => !row.hidden);
  }

  events.addEventListener("change", ({ target }) => {
    if (target.name === "events") {
      // The line above must not move the box away from the pointer.
      const before = target.getBoundingClientRect().top;
      changeLines(target.closest("[data-tms-event]"), target.checked);
      scrollBy({ top: target.getBoundingClientRect().top - before, behavior: "instant" });
    } else if (target.name === "removed" && "tmsNew" in target.closest("tr").dataset) {
      const row = target.closest("tr");
      const pattern = row.dataset.tmsPattern;
      row.remove();
      if (!linesOf(pattern).length) document.getElementById(`id_events-${pattern}`).click();
      events.querySelector(".tms-all-events > summary").focus();
    }
  });
  lines.addEventListener("click", (event) => {
    const link = event.target.closest("a.tms-add, a.tms-x");
    if (!link) return;
    event.preventDefault();
    const row = link.closest("tr");
    const pattern = row.dataset.tmsPattern;
    const again = link.matches(".tms-again") && events.querySelector(`[data-tms-event="${pattern}"]`);
    showFilters(again ? addLine(again, `${pattern}+${lines.rows.length}`) : row, link.dataset.tmsRemoves);
  });
  for (const box of lines.querySelectorAll(".tms-filters")) improve(box);

  // The number of selected events.

  const counter = events.querySelector("[data-tms-count]");
  const isSelected = (row) => row.querySelector("input").checked;
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
    if (target?.matches("input, select, textarea")) return target;
    return target?.querySelector("[aria-invalid=true]") ?? target?.querySelector("input, select, textarea");
  }

  const links = [...form.querySelectorAll(".tms-errors a")];
  for (const link of links) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      reveal(fieldOf(link));
    });
  }
  reveal(links.length ? fieldOf(links[0]) : lines.querySelector(".tms-parts button") ?? document.getElementById("id_name"));

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
      for (const row of group.querySelectorAll("[data-tms-event]")) {
        row.hidden = !matches(`${title} ${row.textContent}`);
        visible += row.hidden ? 0 : 1;
      }
      group.hidden = visible === 0;
      group.open = words.length ? visible > 0 : wasOpen.get(group) ?? group.open;
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
