// Refreshes parts of a page: fetches data-tms-refresh="URL" every data-tms-every seconds, and replaces the part by the one
// with the same id in the response. It waits while the page is hidden, and while the user types, selects, or has the focus in
// the part. A response whose part has no data-tms-refresh ends the refreshing, or continues with the parts in it.
"use strict";
(() => {
  // Milliseconds after the last key.
  const TYPING = 5000;
  // Django's script for the boxes of a list keeps the rows that it knows: this ends the growth.
  const MOST_SWAPS = 200;
  let typedAt = -TYPING;
  let swaps = 0;

  const isBusy = (part) =>
    document.hidden ||
    performance.now() - typedAt < TYPING ||
    part.contains(document.activeElement) ||
    part.querySelector("input:checked") !== null ||
    !document.getSelection().isCollapsed;

  const keepOpened = (part, fresh) => {
    const before = part.querySelectorAll("details");
    const after = fresh.querySelectorAll("details");
    if (before.length === after.length) {
      after.forEach((one, index) => {
        one.open = before[index].open;
      });
    }
  };

  const swap = (part, fresh) => {
    keepOpened(part, fresh);
    fresh.classList.add("tms-live");
    part.replaceWith(fresh);
    fresh.dispatchEvent(new Event("tms-refreshed", { bubbles: true }));
    const boxes = fresh.querySelectorAll("tr input.action-select");
    if (boxes.length && window.Actions) {
      swaps += 1;
      window.Actions(boxes);
      if (swaps > MOST_SWAPS) {
        window.location.reload();
      }
    }
  };

  const refresh = async (part) => {
    if (isBusy(part)) {
      return part;
    }
    try {
      const response = await fetch(part.dataset.tmsRefresh, {
        credentials: "same-origin",
        headers: { "X-Requested-With": "XMLHttpRequest" },
        redirect: "error",
      });
      if (!response.ok) {
        throw new Error(String(response.status));
      }
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = (part.id && page.getElementById(part.id)) || page.body.firstElementChild;
      // The user may have begun to select while it was fetched.
      if (isBusy(part)) {
        return part;
      }
      swap(part, fresh);
      return fresh;
    } catch {
      part.classList.add("tms-stale");
      return part;
    }
  };

  const watch = (part) => {
    part.classList.add("tms-live");
    const seconds = Math.max(1, Number(part.dataset.tmsEvery) || 10);
    window.setTimeout(async () => {
      const fresh = await refresh(part);
      if (fresh.dataset.tmsRefresh) {
        watch(fresh);
      } else {
        fresh.querySelectorAll("[data-tms-refresh]").forEach(watch);
      }
    }, seconds * 1000);
  };

  document.addEventListener("input", () => {
    typedAt = performance.now();
  });
  document.querySelectorAll("[data-tms-refresh]:not([data-tms-refresh] *)").forEach(watch);
})();
