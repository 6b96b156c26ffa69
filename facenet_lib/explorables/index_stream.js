
// Chapter 2: an endless stream of indices, cut into passes, batches and epochs.

// The first epochs of a stream: for each its batches, each with its indices and their passes.
function cutStream(stream, rangeSize, batchSize, epochSize, epochs) {
  return range(epochs).map((epoch) => range(epochSize).map((batch) => {
    const start = (epoch * epochSize + batch) * batchSize;
    return range(batchSize).map((place) => ({
      index: stream[start + place], pass: Math.floor((start + place) / rangeSize),
    }));
  }));
}

// The passes that a batch takes from, the first and the last.
const passesOf = (batch) => [batch[0].pass, batch.at(-1).pass];

// How often images were seen once `taken` indices were: `more` of them once more than the others.
function timesSeen(taken, rangeSize) {
  return { times: Math.floor(taken / rangeSize), more: taken % rangeSize };
}

const [MOST_EPOCHS, MOST_CELLS] = [6, 48];

function drawBatch(parent, batch) {
  const box = addElement(parent, "div", { class: "batch" });
  const cells = addElement(box, "div", { class: "cells" });
  for (const { index, pass } of batch) {
    addElement(cells, "span", { style: `--pass: ${color(pass)}` }, index);
  }
  const [first, last] = passesOf(batch).map((pass) => pass + 1);
  const between = last > first + 1 ? "to" : "and";
  addElement(box, "small", {}, first === last ? `pass ${first}` : `${first} ${between} ${last}`);
}

function describe(sizes, epochs, cut) {
  const [rangeSize, batchSize, epochSize] = sizes;
  const epoch = batchSize * epochSize;
  const { times, more } = timesSeen(epoch * epochs, rangeSize);
  const mixed = cut.flat().map(passesOf).filter(([first, last]) => first < last).length;
  const some = `${more} of the images ${more === 1 ? "was" : "were"}`;
  const seen = more
    ? `${some} seen ${count(times + 1, "time")}, the others ${times}`
    : `all images were seen ${count(times, "time")}`;
  return (
    `An epoch takes ${batchSize} × ${epochSize} = ${count(epoch, "index", "indices")} of a range of ` +
    `${rangeSize}: ${count(round(epoch / rangeSize), "pass", "passes")}. ${mixed} of ` +
    `the ${cut.flat().length} batches shown ${mixed === 1 ? "takes" : "take"} from more than one ` +
    `pass. After ${epochs} epochs ${seen}.`
  );
}

function show(live, { streams, rangeSize: startSize }) {
  const ranges = Object.keys(streams).map(Number);
  const controls = addElement(live, "div", { class: "controls" });
  const sliders = [
    ["R, images in the range", { min: ranges[0], max: ranges.at(-1), value: startSize }],
    ["B, indices in a batch", { min: 1, max: 8, value: 3 }],
    ["E, batches in an epoch", { min: 1, max: 6, value: 1 }],
  ].map(([text, options]) => addSlider(controls, text, options, update));
  const stream = addElement(live, "div", { class: "stream" });
  const told = addTold(live);

  function update() {
    const sizes = sliders.map(({ value }) => value);
    const [rangeSize, batchSize, epochSize] = sizes;
    const fitting = Math.floor(MOST_CELLS / (batchSize * epochSize));
    const epochs = Math.max(2, Math.min(MOST_EPOCHS, fitting));
    const cut = cutStream(streams[rangeSize], rangeSize, batchSize, epochSize, epochs);
    stream.replaceChildren();
    cut.forEach((batches, epoch) => {
      const row = addElement(stream, "div", { class: "epoch" });
      addElement(row, "div", { class: "name" }, `Epoch ${epoch + 1}`);
      const list = addElement(row, "div", { class: "batches" });
      for (const batch of batches) drawBatch(list, batch);
    });
    told.textContent = describe(sizes, epochs, cut);
  }
  update();
}
