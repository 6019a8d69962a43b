// The front page's search: rows with all words in the method's name.
const controls = document.getElementById("controls");
if (controls) {
  const search = document.getElementById("search");
  const [table] = tables;
  const rows = [...table.tBodies[0].rows];
  isShown = (row) => search.value.toLowerCase().split(/\s+/).every((word) => row.cells[0].textContent.toLowerCase().includes(word));
  controls.hidden = false;
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", () => {
    refresh(table);
    document.getElementById("said").textContent = `${rows.filter(isShown).length} of ${rows.length} methods`;
  });
}
