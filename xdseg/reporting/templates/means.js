// Means over chosen pairs and classes. The same cells count for all rows, so that a row that lacks one has no mean.
const MILLION = 1e6; // scores are whole millionths
const chosenPairs = document.getElementById("pairs");
const chosenClasses = document.getElementById("classes");
const said = document.getElementById("said");
const ranking = document.getElementById("methods");
const rowOf = [...ranking.tBodies[0].rows].sort((a, b) => a.dataset.m - b.dataset.m);
let means = contents.methods.map((method) => method.miou); // of what is chosen, in millionths, null for none

function checked(group) {
  return [...group.querySelectorAll("input:checked")].map((box) => Number(box.value));
}

function average(values) {
  return values.length && !values.includes(null) ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

// What is chosen: pairs, and on each the classes that count; null stands for the mIoU that the protocol defines.
function choice() {
  const [pairs, classes] = [checked(chosenPairs), checked(chosenClasses)];
  const whole = classes.length === contents.classes.length;
  const counted = new Map(pairs.map((p) => [p, whole ? null : classes.filter((c) => isScored(c, p))]));
  return {
    whole: whole && pairs.length === contents.board,
    pairs: pairs.filter((p) => whole || counted.get(p).length), // on the others no row has one of the classes
    counted,
    asked: { pairs: pairs.length, classes: classes.length },
  };
}

function isScored(c, p) {
  return contents.methods.some((_, m) => shown[m] && contents.values[m][p].some((cell) => (cell[2 + c] ?? null) !== null));
}

function scoreOf(cell, counted) {
  return counted ? average(counted.map((c) => cell[2 + c] ?? null)) : cell[1] ?? null;
}

function onPair(m, p, counted) {
  return average(contents.values[m][p].map((cell) => scoreOf(cell, counted)));
}

// Mean difference to the peer on the seeds that both are wanted with.
function gainOn(m, p, counted) {
  const other = new Map(contents.values[contents.methods[m].peer][p].map((cell) => [cell[0], scoreOf(cell, counted)]));
  const both = contents.values[m][p].filter((cell) => other.has(cell[0]));
  return average(both.map((cell) => {
    const [own, peer] = [scoreOf(cell, counted), other.get(cell[0])];
    return own === null || peer === null ? null : own - peer;
  }));
}

function points(value) {
  const text = (Math.abs(value) / MILLION * 100).toFixed(2);
  return Number(text) ? (value > 0 ? "+" : "−") + text : text;
}

// Cells of the table: as they came, or what was worked out.
function write(row, name, parts, sort) {
  const cell = row.querySelector(`.${name}`);
  cell.came ??= { nodes: [...cell.childNodes], sort: cell.dataset.sort };
  cell.replaceChildren(...(parts ?? cell.came.nodes));
  cell.dataset.sort = parts ? sort ?? "" : cell.came.sort;
}

function none(text) {
  return [element("span", text, "none")];
}

function meanCell(m) {
  if (means[m] === null) return none("no mean");
  const text = (means[m] / MILLION * 100).toFixed(2);
  const [meter, bar] = [element("span", undefined, "meter"), element("i", undefined, `k${contents.methods[m].colour % 8}`)];
  bar.style.width = `${text}%`;
  meter.append(bar);
  return [element("b", text, "big"), meter];
}

function writeRow(m, chosen) {
  const [row, method] = [rowOf[m], contents.methods[m]];
  if (chosen.whole) {
    for (const name of ["mean", "gain", "better", "scored", "seeds"]) write(row, name);
    return;
  }
  write(row, "mean", meanCell(m), means[m]);
  const gains = method.peer === null ? [] : chosen.pairs.map((p) => gainOn(m, p, chosen.counted.get(p)));
  const gain = average(gains);
  const over = element("small", `over ${contents.methods[method.peer]?.name}`);
  const number = gain === null ? null : points(gain); // bare: colours are of intervals, and there is none of a part
  write(row, "gain", number ? [number, " ", over] : none("–"), gain);
  const better = gains.filter((value) => value > 0).length;
  write(row, "better", number ? [`${better} of ${gains.length}`] : none("–"), number && better);
  const having = chosen.pairs.filter((p) => onPair(m, p, chosen.counted.get(p)) !== null).length;
  write(row, "scored", [`${having}/${chosen.pairs.length}`], having);
  const seeds = chosen.pairs.map((p) => contents.values[m][p].filter((cell) => (cell[1] ?? null) !== null).length).filter(Boolean);
  const ends = seeds.length ? [Math.min(...seeds), Math.max(...seeds)] : [0];
  write(row, "seeds", [[...new Set(ends)].join("–")], ends[0]);
}

// Ranks as they came, with what the tests of the whole board leave open; of a part, or of some rows, the places alone.
function writeRanks(chosen) {
  const ranked = contents.methods.map((method, m) => means[m] !== null && method.setting !== "oracle");
  const whole = chosen.whole && ranked.every((isRanked, m) => !isRanked || shown[m]);
  const placed = shownMethods().filter((m) => ranked[m]).map((m) => means[m]);
  rowOf.forEach((row, m) => {
    const rank = ranked[m] && shown[m] ? 1 + placed.filter((value) => value > means[m]).length : null;
    if (whole) write(row, "rank"); else write(row, "rank", [rank ?? "–"], rank);
  });
  for (const text of document.querySelectorAll(".brackets")) text.hidden = !whole;
}

function update() {
  const chosen = choice();
  means = contents.methods.map((method, m) => (chosen.whole
    ? method.miou : average(chosen.pairs.map((p) => onPair(m, p, chosen.counted.get(p))))));
  rowOf.forEach((_, m) => writeRow(m, chosen));
  writeRanks(chosen);
  document.body.classList.toggle("subset", !chosen.whole);
  reorder(ranking);
  tell(chosen);
  return chosen;
}

function share(some, all, name) {
  const plural = name.endsWith("s") ? `${name}es` : `${name}s`;
  return some === all ? (all === 1 ? `the ${name}` : `all ${all} ${plural}`) : `${some} of ${all} ${plural}`;
}

function tell(chosen) {
  const visible = shownMethods();
  const lacking = visible.filter((m) => means[m] === null).length;
  const what = [share(chosen.asked.pairs, contents.board, "pair"), share(chosen.asked.classes, contents.classes.length, "class")];
  document.getElementById("chosen").textContent = what.join(" and ");
  const void_ = chosen.asked.pairs - chosen.pairs.length;
  said.textContent = [
    `${visible.length} of ${contents.methods.length} methods shown, means over ${what.join(" and ")}.`,
    visible.length < contents.methods.length ? "Ranks are among the shown." : "",
    void_ ? `On ${void_} of the pairs no shown row has one of these classes: they are left out for all.` : "",
    lacking ? `${lacking} lack a cell there and have no mean.` : "",
    chosen.whole ? "" : "Intervals, the table of gains and the map remain those of all pairs and classes.",
  ].filter(Boolean).join(" ");
}

// Buttons beside the boxes.
function check(group, wanted) {
  for (const box of group.querySelectorAll("input")) box.checked = wanted(Number(box.value));
}

function shared() {
  const chosen = choice();
  const has = (m, p) => onPair(m, p, chosen.counted.get(p) ?? null) !== null;
  return new Set(indexes(contents.pairs).filter((p) => shownMethods().every((m) => has(m, p))));
}

const choose = document.getElementById("choose");
choose.hidden = false;
choose.addEventListener("click", (event) => {
  const wanted = event.target.dataset?.check;
  if (!wanted) return;
  const common = wanted === "shared" ? shared() : null;
  check(event.target.closest("fieldset"), common ? (p) => common.has(p) : () => wanted === "all");
  for (const follow of filtered) follow();
});
choose.addEventListener("change", () => { for (const follow of filtered) follow(); });
filtered.push(update);
writeRanks(choice());
tell(choice());
