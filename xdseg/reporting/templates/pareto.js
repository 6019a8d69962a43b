// Accuracy against cost: a point per shown row with a mean, and the line of those that no cheaper row equals.
// Times and memory compare on one device only: rows from another are marked, and the line leaves them out.
const SIDES = { left: 44, right: 16, top: 30, bottom: 40, height: 380 };
const WIDTHS = [300, 760]; // of the drawing: as wide as its place within these
const LETTER = 6.9; // width of one at this size, about
const BOLD = 1.13; // how much wider a bold one is
const RADIUS = 5; // of a point
let width = WIDTHS[1];
let pointed = null; // the point whose name was asked for, by its method
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

// 1, 2 and 5 of every power of ten between the ends; of a wide span the powers alone, of a narrow one even steps.
function ticks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const part of [1, 2, 5]) found.push(part * 10 ** power);
  }
  const inside = found.filter((value) => value >= low && value <= high);
  if (inside.length < 3) return evenly(low, high);
  return inside.length > 9 ? inside.filter((value) => Number.isInteger(Math.round(Math.log10(value) * 1e6) / 1e6)) : inside;
}

// Multiples of the largest step of 1, 2 or 5 that has three of them between the ends.
function evenly(low, high) {
  const least = 10 ** Math.floor(Math.log10((high - low) / 3));
  const step = [5, 2, 1].map((part) => part * least).find((one) => Math.floor(high / one) - Math.ceil(low / one) >= 2);
  const first = Math.ceil(low / step);
  return indexes(Array(Math.floor(high / step) - first + 1)).map((place) => (first + place) * step);
}

function scales(points) {
  const costs = points.map((point) => point.cost);
  const [low, high] = [Math.min(...costs) / 1.2, Math.max(...costs) * 1.2];
  const tops = points.map((point) => point.miou);
  const [bottom, top] = [Math.floor(Math.min(...tops) / 10) * 10, Math.ceil((Math.max(...tops) + 0.01) / 10) * 10];
  const across = (width - SIDES.left - SIDES.right) / Math.log(high / low);
  const up = (SIDES.height - SIDES.top - SIDES.bottom) / (top - bottom);
  return {
    low, high, bottom, top,
    x: (cost) => (SIDES.left + across * Math.log(cost / low)).toFixed(1),
    y: (miou) => (SIDES.height - SIDES.bottom - up * (miou - bottom)).toFixed(1),
  };
}

function axes(scale, label) {
  const { left, right, bottom, height } = SIDES;
  const made = [];
  for (let miou = scale.bottom; miou <= scale.top; miou += 10) {
    made.push(drawn("line", { class: "grid", x1: left, x2: width - right, y1: scale.y(miou), y2: scale.y(miou) }));
    made.push(drawn("text", { x: left - 8, y: Number(scale.y(miou)) + 4, "text-anchor": "end" }, String(miou)));
  }
  let free = 0; // from here to the right
  for (const cost of ticks(scale.low, scale.high)) {
    const text = cost < 1e6 ? short(cost) : `${short(cost / 1e6)} M`;
    const [x, half] = [Number(scale.x(cost)), text.length * LETTER / 2];
    if (x - half < free) continue;
    free = x + half + LETTER;
    made.push(drawn("text", { class: "tick", x, y: height - bottom + 18, "text-anchor": "middle" }, text));
  }
  made.push(drawn("text", { x: width - right, y: height - 4, "text-anchor": "end" }, `${label} (logarithmic)`));
  made.push(drawn("text", { x: 4, y: 14 }, "mIoU, %"));
  return made;
}

function told(point) {
  return `${point.name}: ${point.miou.toFixed(2)} % at ${short(point.cost)}${point.other ? `, ${point.elsewhere}` : ""}`;
}

function shape(point, scale) {
  const [x, y] = [Number(scale.x(point.cost)), Number(scale.y(point.miou))];
  const kind = `k${point.colour % 8} point${point.m === pointed ? " pointed" : ""}`;
  const made = point.other
    ? drawn("path", { class: `${kind} other`, d: `M${x},${y - 6}l6,10h-12z`, "data-point": point.m })
    : drawn("circle", { class: kind, cx: x, cy: y, r: RADIUS, "data-point": point.m });
  made.append(drawn("title", {}, told(point)));
  return made;
}

// Where a name may stand at its point: the middle of its line from there, and which end of it is near the point.
const PLACES = [[1, -7], [-1, -7], [1, 15], [-1, 15], [1, 4], [-1, 4], [0, -11], [0, 20]];

function boxOf(point, scale, [side, down], letter) {
  const [x, y] = [Number(scale.x(point.cost)) + side * 9, Number(scale.y(point.miou)) + down];
  const length = point.name.length * letter;
  const left = x - (side > 0 ? 0 : side < 0 ? length : length / 2);
  return { x, y, side, left, right: left + length, top: y - 10, bottom: y + 2 };
}

function meet(one, other) {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

// Names beside their points: of those that matter first, then of all that find room. The first always have a place.
function names(points, first, scale) {
  const marks = points.map((point) => {
    const [x, y] = [Number(scale.x(point.cost)), Number(scale.y(point.miou))];
    return { left: x - RADIUS, right: x + RADIUS, top: y - RADIUS, bottom: y + RADIUS };
  });
  const taken = [...marks];
  const made = [];
  for (const point of [...first, ...points.filter((one) => !first.includes(one))]) {
    const letter = first.includes(point) ? LETTER * BOLD : LETTER;
    const boxes = PLACES.map((place) => boxOf(point, scale, place, letter))
      .filter((box) => box.left >= 0 && box.right <= width);
    const own = marks[points.indexOf(point)];
    const free = boxes.find((box) => !taken.some((other) => other !== own && meet(box, other)));
    const box = free ?? (first.includes(point) ? boxes[0] : undefined);
    if (!box) continue;
    taken.push(box);
    const anchor = box.side > 0 ? "start" : box.side < 0 ? "end" : "middle";
    const kind = first.includes(point) ? "name" : "name aside";
    const place = { x: box.x.toFixed(1), y: box.y.toFixed(1), "text-anchor": anchor };
    made.push(drawn("text", { class: kind, ...place }, point.name));
  }
  return made;
}

function drawPareto() {
  const points = pointsOf(costOf.value);
  const [line, label] = [frontier(points), costOf.selectedOptions[0].textContent];
  pareto.hidden = !points.length;
  const best = line.map((point) => `${point.name} (${point.miou.toFixed(2)} % at ${short(point.cost)})`).join(", ");
  document.getElementById("frontier").textContent = points.length
    ? `On the line, by ${label}: ${best || "no row"}.${points.some((point) => point.other)
      ? " Triangles ran on another device than most of the board: their cost cannot be held against the others'." : ""}`
    : `No row that is shown has a mean and a cost (${label}).`;
  const asked = points.find((point) => point.m === pointed);
  document.getElementById("pointed").textContent = asked ? told(asked) : "";
  if (!points.length) return;
  const scale = scales(points);
  const steps = line.map((point, place) => `${place ? `H${scale.x(point.cost)}V` : `M${scale.x(point.cost)},`}${scale.y(point.miou)}`);
  const first = [...(asked ? [asked] : []), ...line.filter((point) => point !== asked)];
  pareto.replaceChildren(drawn(
    "svg", { viewBox: `0 0 ${width} ${SIDES.height}`, role: "img", "aria-label": `mIoU against ${label}; the line is told below` },
    ...axes(scale, label),
    drawn("path", { class: "front", d: steps.join("") }),
    ...points.map((point) => shape(point, scale)),
    ...names(points, first, scale),
  ));
}

// A point is asked for its name by a tap, or by arrow keys from the cheapest to the dearest.
function ask(m) {
  pointed = m;
  drawPareto();
}

function step(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  const points = pointsOf(costOf.value).sort((a, b) => a.cost - b.cost || a.miou - b.miou);
  const place = points.findIndex((point) => point.m === pointed);
  const next = place < 0 ? points.at(by > 0 ? 0 : -1) : points[place + by];
  if (next) ask(next.m);
}

function fit() {
  const [least, most] = WIDTHS;
  const found = Math.round(Math.min(most, Math.max(least, pareto.clientWidth - 26))); // less its padding
  if (found === width || !pareto.clientWidth) return;
  width = found;
  drawPareto();
}

if (costOf) {
  document.getElementById("cost-of").hidden = false;
  costOf.addEventListener("change", drawPareto);
  pareto.addEventListener("click", (event) => {
    const point = event.target.closest("[data-point]");
    ask(point ? Number(point.dataset.point) : null);
  });
  pareto.addEventListener("keydown", step);
  filtered.push(drawPareto);
  drawPareto();
  fit();
  new ResizeObserver(fit).observe(pareto);
}
