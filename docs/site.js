// What Debian's mdBook leaves out of a book: the table of contents can be hidden, and the colours changed.
"use strict";
(() => {
    const root = document.documentElement;
    const store = (name, value) => { try { localStorage.setItem(name, value); } catch (e) { /* not kept */ } };

    const contents = document.getElementById("sidebar-toggle-anchor");
    const show = () => {
        root.classList.toggle("sidebar-visible", contents.checked);
        root.classList.toggle("sidebar-hidden", !contents.checked);
        store("mdbook-sidebar", contents.checked ? "visible" : "hidden");
    };
    contents.addEventListener("change", show);

    const button = document.getElementById("theme-toggle");
    const list = document.getElementById("theme-list");
    const open = (yes) => {
        list.style.display = yes ? "block" : "none";
        button.setAttribute("aria-expanded", yes);
    };
    button.addEventListener("click", () => open(list.style.display !== "block"));
    for (const choice of list.querySelectorAll("button.theme")) {
        choice.addEventListener("click", () => {
            const chosen = choice.id === "default_theme" ? default_theme : choice.id;
            for (const other of list.querySelectorAll("button.theme")) { root.classList.remove(other.id); }
            root.classList.add(chosen);
            store("mdbook-theme", chosen);
            open(false);
        });
    }
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") { open(false); } });
})();
