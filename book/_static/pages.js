// What every page of the book does beside the theme. Runs before the theme's scripts.

// A first visit has chosen neither light nor dark: the theme takes that for an error.
document.documentElement.dataset.mode ||= "auto";

// What is wider than its place can be scrolled with the keys too, and says so; see custom.css.
const WIDE = ".pst-scrollable-table-container, .bd-content div.math, .bd-content .output_area pre";

function tellWhatScrolls(places) {
  for (const place of places) {
    const scrolls = place.scrollWidth > place.clientWidth + 1;
    place.classList.toggle("scrolls", scrolls);
    const told = { tabindex: 0, role: "group", "aria-label": "Wider than the page; scrolls" };
    for (const [name, value] of Object.entries(told)) {
      if (scrolls) place.setAttribute(name, value);
      else place.removeAttribute(name);
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  // The button that unfolds a part of the contents is a picture only, beside the part's name.
  for (const button of document.querySelectorAll(".bd-sidebar-primary details > summary")) {
    const part = button.closest("li")?.querySelector("a")?.textContent ?? "this part";
    button.setAttribute("aria-label", `Pages of ${part.trim()}`);
  }
  const observer = new ResizeObserver((entries) => tellWhatScrolls(entries.map((e) => e.target)));
  for (const place of document.querySelectorAll(WIDE)) {
    observer.observe(place);
    for (const child of place.children) observer.observe(child);
  }
});
