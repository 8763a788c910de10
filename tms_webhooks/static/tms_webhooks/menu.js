// Closes a menu, which is a <details class="tms-menu">, by Escape and by a click or a focus outside of it.
"use strict";
(() => {
  const close = (event) => {
    document.querySelectorAll(".tms-menu[open]").forEach((menu) => {
      if (event.key === "Escape" && menu.contains(document.activeElement)) {
        menu.querySelector("summary").focus();
      }
      if (event.key === "Escape" || (!event.key && !menu.contains(event.target))) {
        menu.open = false;
      }
    });
  };
  ["keydown", "click", "focusin"].forEach((type) => document.addEventListener(type, close));
})();
