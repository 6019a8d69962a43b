// Tables: a column's name is a button that sorts by it; a second time turns the order. Rows without a value come last.
// Of a long table the first rows are shown, until all are asked for: the others cost no layout.
const LIMIT = Number(document.body.dataset.limit);
const tables = [...document.querySelectorAll("table.sortable")];
let isShown = () => true; // of a row; filters set it

function key(row, column) {
  const cell = row.cells[column];
  const gains = document.body.dataset.view === "g" ? cell.dataset.gain : undefined;
  const text = gains ?? cell.dataset.sort ?? cell.textContent.trim();
  const number = Number.parseFloat(text);
  return Number.isNaN(number) ? text : number;
}

function compare(a, b, rising) {
  if (a === "" || b === "") return (a === "") - (b === ""); // whatever the order
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return rising ? order : -order;
}

function headings(table) {
  return [...table.tHead.rows[table.tHead.rows.length - 1].cells];
}

function order(table, column, rising) {
  headings(table).forEach((heading, place) => {
    if (place === column) heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    else heading.removeAttribute("aria-sort");
  });
  const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
  rows.sort(([a], [b]) => compare(a, b, rising));
  table.tBodies[0].append(...rows.map(([, row]) => row));
  refresh(table);
}

function reorder(table) {
  const column = headings(table).findIndex((heading) => heading.hasAttribute("aria-sort"));
  if (column >= 0) order(table, column, headings(table)[column].getAttribute("aria-sort") === "ascending");
}

function refresh(table) {
  let count = 0;
  for (const row of table.tBodies[0].rows) {
    const shown = isShown(row);
    count += shown;
    row.hidden = !shown || (count > LIMIT && !table.dataset.all);
    row.classList.remove("beyond");
  }
  more(table, count);
}

function more(table, count) {
  const place = table.closest(".scroll");
  let button = place.nextElementSibling;
  if (!button?.classList.contains("more")) {
    if (count <= LIMIT) return;
    button = element("button", undefined, "more quiet");
    button.type = "button";
    button.addEventListener("click", () => {
      table.dataset.all = "yes";
      refresh(table);
      table.rows[table.tHead.rows.length + LIMIT]?.scrollIntoView({ block: "nearest" });
    });
    place.after(button);
  }
  button.hidden = count <= LIMIT || Boolean(table.dataset.all);
  button.textContent = `Show all ${count} rows`;
}

for (const table of tables) {
  headings(table).forEach((heading, column) => {
    const button = element("button");
    button.type = "button";
    if (heading.dataset.label) button.setAttribute("aria-label", `sort by ${heading.dataset.label}`);
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const sorted = heading.getAttribute("aria-sort");
      order(table, column, sorted ? sorted === "descending" : !heading.classList.contains("n"));
    });
  });
  refresh(table);
}
