
// Chapter 12: strangers who get a name, by threshold and by the size of the gallery.

// The chance that `drawn` people, drawn of `people`, hold none of the `marked` ones.
function missesAll(people, marked, drawn) {
  return range(drawn).reduce((chance, before) => (
    chance * Math.max(0, people - marked - before) / (people - before)
  ), 1);
}

// `near[c]` probes are near to c people who are not their own: such a probe is named unless a
// gallery of `size` of the `people - 1` others holds none of the c.
function falsePositiveRate(near, { people, probes }, size) {
  const named = near.map((number, c) => number * (1 - missesAll(people - 1, c, size)));
  return sum(named) / probes;
}

// `mates[c]` probes are near to their own person, and no further from c others: such a probe is
// named rightly unless the gallery, its own person and `size - 1` others, holds one of the c.
function falseNegativeRate(mates, { people, probes }, size) {
  const right = mates.map((number, c) => number * missesAll(people - 1, c, size - 1));
  return 1 - sum(right) / probes;
}

// What 1 - (1 - FMR)^comparisons says.
const formula = (falseMatchRate, comparisons) => 1 - (1 - falseMatchRate) ** comparisons;

function drawRates(plot, xAxis, positives, negatives, here, band = null) {
  const yAxis = { range: [0, 1], ticks: [0, 0.25, 0.5, 0.75, 1], write: percent };
  plot.redraw(xAxis, yAxis, (x, y, group) => {
    const points = (values) => values.map((value, place) => [x(xAxis.values[place]), y(value)]);
    if (band) {
      const outline = [...points(band[0]), ...points(band[1]).reverse()];
      addLine(group, outline, { style: "fill: var(--faint)" });
    }
    const cut = x(xAxis.values[here]);
    addShape(group, "line", { class: "cut", x1: cut, x2: cut, y1: y(0), y2: y(1) });
    [negatives, positives].forEach((values, number) => {
      addLine(group, points(values), { stroke: color(number) });
      const [cx, cy] = points(values)[here];
      addShape(group, "circle", { cx, cy, r: 6, fill: color(number), stroke: "currentColor" });
    });
  });
}

function show(live, data) {
  const { people, thresholds, near, mates, falseMatchRates, photographs } = data;
  const sizes = range(people - 1).map((number) => number + 1);
  const controls = addElement(live, "div", { class: "controls" });
  const sizeSlider = addSlider(controls, "People in the gallery", {
    min: 1, max: people - 1, value: data.size,
  }, update);
  const thresholdSlider = addSlider(controls, "Threshold", {
    min: 0, max: thresholds.length - 1, value: data.start,
    write: (place) => short(thresholds[place]),
  }, update);
  const plots = addElement(live, "div", { class: "plots" });
  const bySize = addPlot(plots, "By the size of the gallery");
  const byThreshold = addPlot(plots, "By the threshold");
  addLegend(live, ["known people not named rightly (FNIR)", "strangers who get a name (FPIR)"]);
  const told = addTold(live);
  const last = thresholds.length - 1;
  bySize.onPress((share) => sizeSlider.set(1 + Math.round(share * (people - 2))));
  byThreshold.onPress((share) => thresholdSlider.set(Math.round(share * last)));

  function update() {
    const [size, place] = [sizeSlider.value, thresholdSlider.value];
    const said = (comparisons) => formula(falseMatchRates[place], comparisons);
    const positives = (at, held) => falsePositiveRate(near[at], data, held);
    const negatives = (at, held) => falseNegativeRate(mates[at], data, held);
    drawRates(
      bySize, { range: [1, people - 1], whole: true, values: sizes, label: "people in the gallery" },
      sizes.map((held) => positives(place, held)), sizes.map((held) => negatives(place, held)),
      size - 1, [1, photographs].map((each) => sizes.map((held) => said(each * held))),
    );
    drawRates(
      byThreshold, { range: [thresholds[0], thresholds[last]], values: thresholds, label: "threshold" },
      thresholds.map((_, at) => positives(at, size)), thresholds.map((_, at) => negatives(at, size)),
      place,
    );
    told.textContent =
      `The threshold ${short(thresholds[place])} accepts ${percent(falseMatchRates[place])} of the ` +
      `pairs of two people. In a gallery of ${size} it names ${percent(positives(place, size))} of ` +
      `strangers (grey, the formula: ${percent(said(size))} to ${percent(said(photographs * size))}), ` +
      `and ${percent(negatives(place, size))} of known people are not named rightly.`;
  }
  update();
}
