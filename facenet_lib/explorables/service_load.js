
// Chapter 8: what a server answers to more and more clients, by the largest batch it may form.

// Batches are counted by their size; a number as an object's key is a word to JavaScript.
const sizesAndCounts = (batches) => (
  Object.entries(batches).map(([size, number]) => [Number(size), number])
);

function meanBatch(batches) {
  const counted = sizesAndCounts(batches);
  const images = sum(counted.map(([size, number]) => size * number));
  return images / sum(counted.map(([, number]) => number));
}

// The share of all images that was computed in batches of each size.
function shareOfImages(batches) {
  const counted = sizesAndCounts(batches);
  const images = sum(counted.map(([size, number]) => size * number));
  return counted.map(([size, number]) => [size, (size * number) / images]);
}

function drawLatencies(plot, loads, chosen, place) {
  const rates = loads.flatMap((load) => load.rates);
  const times = loads.flatMap((load) => Object.values(load.latencies).flat());
  const xAxis = { range: [0, 1.05 * Math.max(...rates)], label: "answers a second" };
  plot.redraw(xAxis, { range: [0, 1.05 * Math.max(...times)] }, (x, y, group) => {
    const chosenLast = [...loads.filter((load) => load !== chosen), chosen];
    chosenLast.forEach((load) => Object.values(load.latencies).forEach((values, number) => {
      const points = values.map((value, at) => [x(load.rates[at]), y(value)]);
      const opacity = load === chosen ? 1 : 0.3;
      addLine(group, points, { stroke: color(number), opacity });
      if (load !== chosen) return;
      points.forEach(([cx, cy], at) => addShape(group, "circle", {
        cx, cy, r: at === place ? 7 : 3, fill: color(number),
        stroke: at === place ? "currentColor" : "none",
      }));
    }));
  });
}

function drawBatches(plot, batches, largest) {
  const xAxis = { range: [0, largest + 1], whole: true, label: "images in a batch" };
  const yAxis = { range: [0, 1], ticks: [0, 0.25, 0.5, 0.75, 1], write: percent };
  plot.redraw(xAxis, yAxis, (x, y, group) => {
    for (const [size, share] of shareOfImages(batches)) {
      const [start, end] = [x(size - 0.4), x(size + 0.4)];
      addShape(group, "rect", {
        x: start, width: end - start, y: y(share), height: y(0) - y(share), fill: color(2),
      });
    }
  });
}

function show(live, { clients, loads, largest }) {
  const controls = addElement(live, "div", { class: "controls" });
  const slider = addSlider(controls, "Clients that ask at the same time", {
    min: 0, max: clients.length - 1, value: clients.length - 1, write: (place) => clients[place],
  }, update);
  const words = largest.map((size) => (size === 1 ? "1 image" : `up to ${size}`));
  const choice = addChoice(controls, "Batches of", words, update);
  const plots = addElement(live, "div", { class: "plots" });
  const latencies = addPlot(plots, "Milliseconds to an answer");
  const batches = addPlot(plots, "Share of all images");
  addLegend(live, Object.keys(loads[0].latencies));
  const told = addTold(live);
  choice.set(largest.length - 1);

  function update() {
    const [place, load] = [slider.value, loads[choice.value]];
    drawLatencies(latencies, loads, load, place);
    drawBatches(batches, load.batches[place], Math.max(...largest));
    const times = Object.entries(load.latencies).map(([name, values]) => (
      `${name}: ${short(values[place])} ms`
    ));
    told.textContent =
      `${count(clients[place], "client")}, batches of ${words[choice.value]}: ` +
      `${[`${count(round(load.rates[place]), "answer")} a second`, ...times].join("; ")}. ` +
      `A batch held ${count(round(meanBatch(load.batches[place])), "image")} on average.`;
  }
  update();
}
