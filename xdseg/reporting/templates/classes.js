// Classes: of one pair, or the mean over the chosen pairs on which a shown row has that class.
const ofPair = document.getElementById("pair");

function bar(name, value, colour) {
  const [line, track, fill] = [element("li"), element("span", undefined, "track"), element("i", undefined, `k${colour % 8}`)];
  const text = value === null ? "–" : (value / MILLION * 100).toFixed(2);
  fill.style.width = `${Number.parseFloat(text) || 0}%`;
  track.append(fill);
  line.append(element("span", name, "who"), track, element("b", text));
  return line;
}

function drawClasses() {
  const pairs = ofPair.value === "" ? checked(chosenPairs) : [Number(ofPair.value)];
  const methods = shownMethods().slice(0, LIMIT);
  for (const list of document.querySelectorAll("[data-class]")) {
    const c = Number(list.dataset.class);
    const scored = pairs.filter((p) => isScored(c, p));
    list.replaceChildren(...methods.map((m) => {
      const { name, colour } = contents.methods[m];
      return bar(name, average(scored.map((p) => onPair(m, p, [c]))), colour);
    }));
  }
}

ofPair.addEventListener("change", drawClasses);
filtered.push(drawClasses);
