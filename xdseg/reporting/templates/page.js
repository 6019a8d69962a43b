"use strict";
// Everything that is shown is there without this script, except the cards, the order of rows, and one pair's classes.
const contents = JSON.parse(document.getElementById("contents").textContent);
const dialog = document.getElementById("card");

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// Tables: a column's name is a button that sorts by it; a second time turns the order.
function key(row, column) {
  const cell = row.cells[column];
  const gains = document.body.dataset.view === "g" && cell.dataset.gain;
  const text = gains || (cell.dataset.sort ?? cell.textContent.trim());
  const number = Number.parseFloat(text);
  return Number.isNaN(number) ? text : number;
}

function sort(table, column, heading) {
  const rising = heading.getAttribute("aria-sort") === "descending"
    || (!heading.hasAttribute("aria-sort") && !heading.classList.contains("n"));
  for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  rows.sort(([a], [b]) => (rising ? compare(a, b) : compare(b, a)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = table.tHead.rows[table.tHead.rows.length - 1].cells;
  [...headings].forEach((heading, column) => {
    const button = element("button");
    button.type = "button";
    if (heading.dataset.label) button.setAttribute("aria-label", `sort by ${heading.dataset.label}`);
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, column, heading));
  });
}

// The map: scores or gains.
for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    document.body.dataset.view = button.dataset.show;
    for (const other of document.querySelectorAll("[data-show]")) other.setAttribute("aria-pressed", other === button);
  });
}

// Classes: of one pair, or of all.
document.getElementById("pair").addEventListener("change", (event) => {
  const pair = event.target.value;
  const iou = {};
  for (const card of Object.values(contents.cards)) {
    const scored = card.cells.filter((cell) => cell.iou);
    if (card.pair === pair && scored.length === card.cells.length) {
      iou[card.method] = contents.classes.map((_, place) => {
        const values = scored.map((cell) => cell.iou[place]);
        return values.includes(null) ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
      });
    }
  }
  for (const line of document.querySelectorAll(".class li")) {
    const [bar, number] = [line.querySelector(".track i"), line.querySelector("b")];
    const value = iou[line.dataset.method]?.[line.dataset.class];
    number.textContent = pair ? (value ?? null) === null ? "–" : value.toFixed(2) : number.dataset.mean;
    bar.style.width = `${Number.parseFloat(number.textContent) || 0}%`;
  }
});

// Cards.
function command(text) {
  const place = element("span", undefined, "command");
  const copy = element("button", "copy", "quiet");
  copy.type = "button";
  copy.addEventListener("click", () => {
    const done = navigator.clipboard ? navigator.clipboard.writeText(text) : Promise.reject(new Error("no clipboard"));
    done.then(() => { copy.textContent = "copied"; }, () => { getSelection().selectAllChildren(place.firstChild); });
  });
  place.append(element("code", text), copy);
  return place;
}

function section(contained) {
  const made = element(contained.folded ? "details" : "section");
  made.append(element(contained.folded ? "summary" : "h3", contained.title));
  const list = element("dl");
  for (const [label, value, kind] of contained.rows) {
    const row = element("div", undefined, kind);
    const text = element("dd");
    text.append(kind === "copy" ? command(value) : value);
    row.append(element("dt", label), text);
    list.append(row);
  }
  made.append(list);
  return made;
}

function bars(values) {
  const list = element("ul", undefined, "bars");
  contents.classes.forEach((name, place) => {
    const line = element("li");
    const track = element("span", undefined, "track");
    const bar = element("i", undefined, "k0");
    bar.style.width = `${values[place] ?? 0}%`;
    track.append(bar);
    line.append(element("span", name, "who"), track, element("b", values[place] === null ? "–" : values[place].toFixed(2)));
    list.append(line);
  });
  return list;
}

function setAddress(address) {
  try { history.replaceState(null, "", address); } catch { /* embedded in a report: there is no address to set */ }
}

function show(name) {
  const card = contents.cards[name];
  if (!card) return;
  document.getElementById("card-kind").textContent = `${card.method}, ${card.setting}`;
  document.getElementById("card-title").textContent = card.pair;
  document.getElementById("card-value").textContent = card.miou || "missing";
  const body = document.getElementById("card-body");
  body.replaceChildren();
  for (const cell of card.cells) {
    if (card.cells.length > 1) body.append(element("h3", `Seed ${cell.seed}: ${cell.miou || "missing"}`, "seed"));
    const [first, ...rest] = cell.sections.map((place) => section(contents.sections[place]));
    body.append(first, ...(cell.iou ? [bars(cell.iou)] : []), ...rest);
  }
  if (!dialog.open) dialog.showModal();
  body.scrollTop = 0;
  setAddress(`#card=${encodeURIComponent(name)}`);
}

for (const button of document.querySelectorAll("[data-card]")) {
  button.addEventListener("click", () => show(button.dataset.card));
}
document.getElementById("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => setAddress(location.href.split("#")[0]));

function fromAddress() {
  if (location.hash.startsWith("#card=")) show(decodeURIComponent(location.hash.slice("#card=".length)));
}
addEventListener("hashchange", fromAddress);
fromAddress();

// Light or dark: as the system says, until chosen otherwise.
const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).getPropertyValue("color-scheme").trim() === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "light" : "dark";
});
