"use strict";

// Copy buttons, also those of parts that are refreshed. Without this script or clipboard access, the user can select the text
// instead.
(() => {
  const show = (part) => {
    for (const button of part.querySelectorAll("[data-tms-copy]")) {
      button.hidden = !navigator.clipboard;
    }
  };
  const copy = async (button) => {
    const label = button.firstChild;
    const text = label.textContent;
    const source = document.getElementById(button.dataset.tmsCopy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      getSelection().selectAllChildren(source);
      return;
    }
    label.textContent = button.dataset.tmsDone;
    setTimeout(() => { label.textContent = text; }, 2000);
  };

  show(document);
  document.addEventListener("tms-refreshed", (event) => show(event.target));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-tms-copy]");
    if (button) {
      copy(button);
    }
  });
})();
