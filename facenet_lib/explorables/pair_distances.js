
// Chapter 1: what a threshold makes of the distances of pairs.

// `same` and `different` count the pairs below each of the thresholds; the last is above all pairs.
function rates({ same, different }, place) {
  const [pairs, others] = [same.at(-1), different.at(-1)];
  const right = same[place] + others - different[place];
  return {
    truePositive: same[place] / pairs,
    falsePositive: different[place] / others,
    accuracy: right / (pairs + others),
    right,
  };
}

// Pairs in each of the bars, `width` steps of the thresholds wide.
function bars(below, width) {
  const ends = range(Math.floor((below.length - 1) / width)).map((bar) => (bar + 1) * width);
  return ends.map((end) => below[end] - below[end - width]);
}

const STEPS_IN_A_BAR = 5;

function drawBars(plot, panel, place) {
  const { thresholds } = panel;
  const heights = [panel.same, panel.different].map((below) => bars(below, STEPS_IN_A_BAR));
  const highest = Math.max(...heights.flat());
  const xAxis = { range: [thresholds[0], thresholds.at(-1)], label: "distance of the two images" };
  plot.redraw(xAxis, { range: [0, 1.05 * highest] }, (x, y, group) => {
    heights.forEach((kind, number) => kind.forEach((height, bar) => {
      const [start, end] = [bar, bar + 1].map((edge) => thresholds[edge * STEPS_IN_A_BAR]);
      const opacity = end <= thresholds[place] ? 0.7 : 0.25;
      addShape(group, "rect", {
        x: x(start), y: y(height), width: x(end) - x(start), height: y(0) - y(height),
        fill: color(number), opacity,
      });
    }));
    const cut = x(thresholds[place]);
    addShape(group, "line", { class: "cut", x1: cut, x2: cut, y1: y(0), y2: y(1.05 * highest) });
  });
}

function drawRoc(plot, panel, place) {
  const axis = { range: [0, 1], ticks: [0, 0.25, 0.5, 0.75, 1] };
  const [xAxis, yAxis] = [{ ...axis, label: "false positive rate" }, axis];
  plot.redraw(xAxis, yAxis, (x, y, group) => {
    const point = (at) => {
      const { falsePositive, truePositive } = rates(panel, at);
      return [x(falsePositive), y(truePositive)];
    };
    addShape(group, "line", { class: "cut", x1: x(0), y1: y(0), x2: x(1), y2: y(1), opacity: 0.5 });
    addLine(group, range(panel.same.length).map(point), { stroke: "currentColor" });
    const [cx, cy] = point(place);
    addShape(group, "circle", { cx, cy, r: 7, fill: "currentColor" });
  });
}

function show(live, { panels }) {
  const names = Object.keys(panels);
  const controls = addElement(live, "div", { class: "controls" });
  const panel = () => panels[names[choice.value]];
  const choice = addChoice(controls, "Images compared by", names, () => slider.set(panel().start));
  const slider = addSlider(controls, "Threshold", {
    min: 0, max: panel().same.length - 1, value: panel().start,
    write: (place) => short(panel().thresholds[place]),
  }, update);
  const plots = addElement(live, "div", { class: "plots" });
  const histogram = addPlot(plots, "Pairs by distance");
  const roc = addPlot(plots, "True by false positive rate");
  addLegend(live, ["one person", "two people"]);
  const told = addTold(live);
  histogram.onPress((share) => slider.set(Math.round(share * (panel().same.length - 1))));

  function update() {
    const place = slider.value;
    const { same, different, thresholds } = panel();
    const { truePositive, falsePositive, accuracy, right } = rates(panel(), place);
    drawBars(histogram, panel(), place);
    drawRoc(roc, panel(), place);
    told.textContent =
      `Below ${short(thresholds[place])} lie ${same[place]} of ${count(same.at(-1), "pair")} of one ` +
      `person (TPR ${percent(truePositive)}) and ${different[place]} of ${different.at(-1)} of two ` +
      `people (FPR ${percent(falsePositive)}). ${count(right, "answer is", "answers are")} right: ` +
      `accuracy ${percent(accuracy)}.`;
  }
  update();
}
