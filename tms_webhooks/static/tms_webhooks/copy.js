"use strict";

// Copy buttons. Without this script or clipboard access, the user can select the text instead.
for (const button of document.querySelectorAll("[data-tms-copy]")) {
  const label = button.firstChild;
  const text = label.textContent;
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.tmsCopy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      getSelection().selectAllChildren(source);
      return;
    }
    label.textContent = button.dataset.tmsDone;
    setTimeout(() => { label.textContent = text; }, 2000);
  });
}
