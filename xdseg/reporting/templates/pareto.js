// Accuracy against cost: a point per shown row with a mean, and the line of those that no cheaper row equals.
// Times and memory compare on one device only: rows from another are marked, and the line leaves them out.
const SIDES = { left: 52, right: 20, top: 30, bottom: 40, width: 760, height: 380 };
const pareto = document.getElementById("pareto");
const costOf = document.getElementById("cost");

function drawn(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function short(value) {
  return Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 });
}

function pointsOf(cost) {
  return shownMethods().map((m) => {
    const { name, costs, elsewhere, colour } = contents.methods[m];
    const other = cost !== "parameters" && Boolean(elsewhere);
    return { m, name, colour, cost: costs[cost], miou: means[m] === null ? null : means[m] / MILLION * 100, other, elsewhere };
  }).filter((point) => point.cost > 0 && point.miou !== null);
}

function frontier(points) {
  const found = [];
  for (const point of points.filter((one) => !one.other).sort((a, b) => a.cost - b.cost || b.miou - a.miou)) {
    if (!found.length || point.miou > found.at(-1).miou) found.push(point);
  }
  return found;
}

// 1, 2 and 5 of every power of ten between the ends; of a wide span the powers alone.
function ticks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const part of [1, 2, 5]) found.push(part * 10 ** power);
  }
  const inside = found.filter((value) => value >= low && value <= high);
  return inside.length > 9 ? inside.filter((value) => Number.isInteger(Math.round(Math.log10(value) * 1e6) / 1e6)) : inside;
}

function scales(points) {
  const costs = points.map((point) => point.cost);
  const [low, high] = [Math.min(...costs) / 1.2, Math.max(...costs) * 1.2];
  const tops = points.map((point) => point.miou);
  const [bottom, top] = [Math.floor(Math.min(...tops) / 10) * 10, Math.ceil((Math.max(...tops) + 0.01) / 10) * 10];
  const across = (SIDES.width - SIDES.left - SIDES.right) / Math.log(high / low);
  const up = (SIDES.height - SIDES.top - SIDES.bottom) / (top - bottom);
  return {
    low, high, bottom, top,
    x: (cost) => (SIDES.left + across * Math.log(cost / low)).toFixed(1),
    y: (miou) => (SIDES.height - SIDES.bottom - up * (miou - bottom)).toFixed(1),
  };
}

function axes(scale, label) {
  const { left, right, bottom, width, height } = SIDES;
  const made = [];
  for (let miou = scale.bottom; miou <= scale.top; miou += 10) {
    made.push(drawn("line", { class: "grid", x1: left, x2: width - right, y1: scale.y(miou), y2: scale.y(miou) }));
    made.push(drawn("text", { x: left - 8, y: Number(scale.y(miou)) + 4, "text-anchor": "end" }, String(miou)));
  }
  for (const cost of ticks(scale.low, scale.high)) {
    made.push(drawn("text", { x: scale.x(cost), y: height - bottom + 18, "text-anchor": "middle" }, short(cost)));
  }
  made.push(drawn("text", { x: width - right, y: height - 4, "text-anchor": "end" }, `${label} (logarithmic)`));
  made.push(drawn("text", { x: 4, y: 14 }, "mIoU, %"));
  return made;
}

function shape(point, scale) {
  const [x, y] = [Number(scale.x(point.cost)), Number(scale.y(point.miou))];
  const kind = `k${point.colour % 8} point`;
  const made = point.other
    ? drawn("path", { class: `${kind} other`, d: `M${x},${y - 6}l6,10h-12z` })
    : drawn("circle", { class: kind, cx: x, cy: y, r: 5 });
  const device = point.other ? `, ${point.elsewhere}` : "";
  made.append(drawn("title", {}, `${point.name}: ${point.miou.toFixed(2)} % at ${short(point.cost)}${device}`));
  return made;
}

function named(point, scale) {
  const [x, y] = [Number(scale.x(point.cost)), Number(scale.y(point.miou))];
  const end = x > SIDES.width / 2;
  return drawn("text", { class: "name", x: end ? x - 9 : x + 9, y: y - 7, "text-anchor": end ? "end" : "start" }, point.name);
}

function drawPareto() {
  const points = pointsOf(costOf.value);
  const [line, label] = [frontier(points), costOf.selectedOptions[0].textContent];
  pareto.hidden = !points.length;
  const told = line.map((point) => `${point.name} (${point.miou.toFixed(2)} % at ${short(point.cost)})`).join(", ");
  document.getElementById("frontier").textContent = points.length
    ? `On the line, by ${label}: ${told || "no row"}.${points.some((point) => point.other)
      ? " Triangles ran on another device than most of the board: their cost cannot be held against the others'." : ""}`
    : `No row that is shown has a mean and a cost (${label}).`;
  if (!points.length) return;
  const scale = scales(points);
  const steps = line.map((point, place) => `${place ? `H${scale.x(point.cost)}V` : `M${scale.x(point.cost)},`}${scale.y(point.miou)}`);
  pareto.replaceChildren(drawn(
    "svg", { viewBox: `0 0 ${SIDES.width} ${SIDES.height}`, role: "img", "aria-label": `mIoU against ${label}; the line is told below` },
    ...axes(scale, label),
    drawn("path", { class: "front", d: steps.join("") }),
    ...points.map((point) => shape(point, scale)),
    ...line.map((point) => named(point, scale)),
  ));
}

if (costOf) {
  document.getElementById("cost-of").hidden = false;
  costOf.addEventListener("change", drawPareto);
  filtered.push(drawPareto);
  drawPareto();
}
