
// Chapter 5: centers that follow their features, or run away from them.

// One step of a center, which a batch moves by all of its `features`.
function stepCenter(center, features, alpha, divided) {
  const share = (1 - alpha) / (divided ? 1 + features.length : 1);
  return center.map((place, axis) => (
    place - share * sum(features.map((feature) => place - feature[axis]))
  ));
}

// What a step multiplies a center's distance to the mean of its features by.
const factor = (images, alpha, divided) => 1 - (images * (1 - alpha)) / (divided ? 1 + images : 1);

// The center after 0, 1, ... steps from the origin, with the same features in every batch.
function walk(features, alpha, divided, steps) {
  const places = [[0, 0]];
  while (places.length <= steps) places.push(stepCenter(places.at(-1), features, alpha, divided));
  return places;
}

// The distance of centers to the means of their features, on average over all people.
function meanDistance(centers, people) {
  const distances = people.map((features, person) => Math.hypot(...[0, 1].map((axis) => (
    centers[person][axis] - sum(features.map((feature) => feature[axis])) / features.length
  ))));
  return sum(distances) / people.length;
}

const STEPS = 12;

function drawPlane(plot, people, images, walks, steps) {
  const shown = [...people.flat(), ...walks.flatMap((places) => places.slice(0, steps + 1))];
  const reach = 1.1 * Math.max(...shown.flat().map(Math.abs));
  // Far enough from the ends for the widest numbers of centers that run away.
  const axis = { range: [-reach, reach], ticks: [-reach, 0, reach].map((at) => at / 1.3) };
  plot.redraw({ ...axis, label: "first number" }, axis, (x, y, group) => {
    people.forEach((features, person) => features.forEach(([right, up], image) => {
      addShape(group, "circle", {
        cx: x(right), cy: y(up), r: 2.5, fill: color(person), opacity: image < images ? 0.9 : 0.25,
      });
    }));
    walks.forEach((places, person) => {
      const points = places.slice(0, steps + 1).map(([right, up]) => [x(right), y(up)]);
      addLine(group, points, { stroke: color(person), "stroke-width": 1.2 });
      const [cx, cy] = points.at(-1);
      addShape(group, "circle", { cx, cy, r: 6, fill: color(person), stroke: "currentColor" });
    });
  });
}

function drawDistances(plot, distances, steps) {
  const low = Math.min(...distances.filter((distance) => distance > distances[0] / 1e4));
  const limits = [Math.min(low, distances[0] / 10), Math.max(...distances, distances[0] * 10)];
  const xAxis = { range: [0, STEPS], ticks: [0, 3, 6, 9, 12], label: "steps" };
  plot.redraw(xAxis, { range: limits, logarithmic: true }, (x, y, group) => {
    const point = (step) => [x(step), y(Math.max(distances[step], limits[0]))];
    const [[, start], [cx, cy]] = [point(0), point(steps)];
    addShape(group, "line", { class: "cut", x1: x(0), x2: x(STEPS), y1: start, y2: start });
    const shown = range(STEPS + 1).filter((step) => distances[step] >= limits[0]);
    addLine(group, shown.map(point), { stroke: "currentColor" });
    addShape(group, "circle", { cx, cy, r: 7, fill: "currentColor" });
  });
}

function judge(by) {
  if (Math.abs(by) > 1 + 1e-9) return "the center overshoots and ends further away each time";
  if (Math.abs(by) > 1 - 1e-9) return by > 0 ? "it never moves" : "it swings from side to side for ever";
  return by < -1e-9 ? "the center overshoots, and still closes in" : "the center closes in";
}

function show(live, { people, alpha: startAlpha, images: startImages }) {
  const most = Math.min(...people.map((features) => features.length));
  const controls = addElement(live, "div", { class: "controls" });
  const alphaSlider = addSlider(controls, "α, the share that stays", {
    min: 0, max: 1, step: 0.05, value: startAlpha, write: (value) => value.toFixed(2),
  }, update);
  const imagesSlider = addSlider(controls, "k, images of a person in the batch", {
    min: 1, max: most, value: startImages,
  }, update);
  const stepsSlider = addSlider(controls, "Steps", { min: 0, max: STEPS, value: 3 }, update);
  const way = addChoice(controls, "Update", ["undivided", "divided by 1 + k"], update);
  const plots = addElement(live, "div", { class: "plots" });
  const roomy = { height: 300, left: 84 };  // for numbers such as −1.3 × 10¹⁶
  const plane = addPlot(plots, "Features and centers", roomy);
  const distance = addPlot(plots, "Distance of center to class", roomy);
  const told = addTold(live);

  function update() {
    const [alpha, images, steps] = [alphaSlider, imagesSlider, stepsSlider].map(({ value }) => value);
    const divided = way.value === 1;
    const batch = people.map((features) => features.slice(0, images));
    const walks = batch.map((features) => walk(features, alpha, divided, STEPS));
    const distances = range(STEPS + 1).map((step) => (
      meanDistance(walks.map((places) => places[step]), batch)
    ));
    drawPlane(plane, people, images, walks, steps);
    drawDistances(distance, distances, steps);
    const by = factor(images, alpha, divided);
    const multiplied = (Math.round(100 * by) / 100 + 0).toFixed(2).replace("-", "−");  // no −0.00
    const product = divided ? "k (1 − α) / (1 + k)" : "k (1 − α)";
    told.textContent =
      `${product} = ${(1 - by).toFixed(2)}: every step multiplies the distance by ` +
      `${multiplied}, so ${judge(by)}. After ${count(steps, "step")} it is ` +
      `${short(distances[steps])}; at the start it was ${short(distances[0])}.`;
  }
  update();
}
