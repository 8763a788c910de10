// Refreshes parts of a page: fetches data-tms-refresh="URL" every data-tms-every seconds, while the page is visible and the
// focus is outside that part. A response without the attribute ends the refreshing.
"use strict";
(() => {
  const isBusy = (part) => part.contains(document.activeElement) || part.matches(":has(details[open])");

  const refresh = async (part) => {
    if (document.hidden || isBusy(part)) {
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
      const fresh = page.body.firstElementChild;
      fresh.classList.add("tms-live");
      part.replaceWith(fresh);
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
      }
    }, seconds * 1000);
  };

  document.querySelectorAll("[data-tms-refresh]").forEach(watch);
})();
