// The map: scores or gains, by which its rows stand anew.
const map = document.querySelector(".map");
const tiles = '[data-card]';
for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    document.body.dataset.view = button.dataset.show;
    for (const other of document.querySelectorAll("[data-show]")) other.setAttribute("aria-pressed", other === button);
    reorder(map);
    settle();
  });
}

// Cards: what stands behind a number. They are read when the first one is opened.
const dialog = document.getElementById("card");
let behind;

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

function bars(cell) {
  const list = element("ul", undefined, "bars");
  list.append(...contents.classes.map((name, c) => bar(name, cell[2 + c], 0)));
  return list;
}

function setAddress(address) {
  try { history.replaceState(null, "", address); } catch { /* embedded in a report: there is no address to set */ }
}

function show(name) {
  behind ??= JSON.parse(document.getElementById("cards").textContent);
  const card = Object.hasOwn(behind.cards, name) ? behind.cards[name] : null;
  if (!card) return;
  const method = contents.methods[card.m];
  document.getElementById("card-kind").textContent = `${method.name}, ${method.setting}`;
  document.getElementById("card-title").textContent = contents.pairs[card.p].join(" → ");
  document.getElementById("card-value").textContent = card.miou || "missing";
  const body = document.getElementById("card-body");
  const tops = ["gain", "seeds"].filter((part) => part in card);
  body.replaceChildren(...tops.map((part) => section(behind.sections[card[part]])));
  card.cells.forEach((cell, place) => {
    if (card.cells.length > 1) body.append(element("h3", `Seed ${cell.seed}: ${cell.miou || "missing"}`, "seed"));
    const [first, ...rest] = cell.sections.map((at) => section(behind.sections[at]));
    const scores = contents.values[card.m][card.p][place];
    body.append(first, ...(scores.length > 1 ? [bars(scores)] : []), ...rest);
  });
  if (!dialog.open) dialog.showModal();
  body.scrollTop = 0;
  setAddress(`#card=${encodeURIComponent(name)}`);
}

// One number of the map is reached by Tab, the others from it by arrow keys.
function settle() {
  const first = map.querySelector(`tbody tr:not([hidden]) ${tiles}[tabindex="0"]`);
  if (first) return;
  for (const old of map.querySelectorAll(`${tiles}[tabindex="0"]`)) old.tabIndex = -1;
  const next = map.querySelector(`tbody tr:not([hidden]) ${tiles}`);
  if (next) next.tabIndex = 0;
}

function neighbour(button, pressed) {
  const [cell, row] = [button.closest("td"), button.closest("tr")];
  const rows = [...map.tBodies[0].rows].filter((one) => !one.hidden);
  const buttons = [...row.querySelectorAll(tiles)];
  const beside = { ArrowLeft: -1, ArrowRight: 1 }[pressed];
  const below = { ArrowUp: -1, ArrowDown: 1 }[pressed];
  if (beside) return buttons[buttons.indexOf(button) + beside];
  if (below) return rows[rows.indexOf(row) + below]?.cells[cell.cellIndex].querySelector(tiles);
  return { Home: buttons[0], End: buttons.at(-1) }[pressed];
}

for (const button of map.querySelectorAll(tiles)) button.tabIndex = -1;
settle();
filtered.push(settle);
map.addEventListener("click", (event) => {
  const button = event.target.closest(tiles);
  if (button) show(button.dataset.card);
  settle(); // a column's name may have been chosen, which changes the rows that are shown
});
map.addEventListener("keydown", (event) => {
  const button = event.target.closest(tiles);
  const next = button && neighbour(button, event.key);
  if (!next) return;
  event.preventDefault();
  for (const old of map.querySelectorAll(`${tiles}[tabindex="0"]`)) old.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});
document.getElementById("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => setAddress(location.href.split("#")[0]));

function fromAddress() {
  if (!location.hash.startsWith("#card=")) return;
  let name;
  try { name = decodeURIComponent(location.hash.slice("#card=".length)); } catch { return; } // cut off, or no address at all
  show(name);
}
addEventListener("hashchange", fromAddress);
fromAddress();
