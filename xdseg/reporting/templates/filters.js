// Filters: which rows are shown, in every part of the page. What follows from it is told to `filtered`.
const contents = JSON.parse(document.getElementById("contents").textContent);
const controls = document.getElementById("controls");
const search = document.getElementById("search");
const facets = [...controls.querySelectorAll("[data-facet]")];
const shown = contents.methods.map(() => true);
const filtered = []; // functions, called after a change

function indexes(list) {
  return [...list.keys()];
}

function shownMethods() {
  return indexes(contents.methods).filter((m) => shown[m]);
}

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = facets.filter((select) => select.value).map((select) => [select.dataset.facet, select.value]);
  contents.methods.forEach((method, m) => {
    shown[m] = words.every((word) => method.text.includes(word))
      && wanted.every(([facet, value]) => method.facets[facet].includes(value));
  });
  for (const part of document.querySelectorAll("[data-m]:not(tr)")) part.hidden = shown[part.dataset.m] === false;
  for (const table of tables) refresh(table);
  for (const follow of filtered) follow();
}

isShown = (row) => row.dataset.m === undefined || shown[row.dataset.m];
controls.hidden = false;
controls.addEventListener("input", filter);
controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("reset", () => setTimeout(filter)); // after the fields are empty
