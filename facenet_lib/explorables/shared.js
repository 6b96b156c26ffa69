// What the explorable figures share: elements, scales, plots, controls, and how a figure comes to life.

const SVG = "http://www.w3.org/2000/svg";

function addElement(parent, name, attributes = {}, text = "") {
  return fill(parent, document.createElement(name), attributes, text);
}

function addShape(parent, name, attributes = {}, text = "") {
  return fill(parent, document.createElementNS(SVG, name), attributes, text);
}

function fill(parent, element, attributes, text) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return parent.appendChild(element);
}

const color = (number) => `var(--color-${number % 6})`;
const percent = (share) => (
  share < 1 && share >= 0.9995 ? "over 99.9%" : `${short(100 * share)}%`  // 100% is all of them
);
const count = (number, one, several = `${one}s`) => `${number} ${number === 1 ? one : several}`;
const range = (length) => Array.from({ length }, (_, number) => number);
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

// A number of three digits.
const round = (number) => Number(number.toPrecision(3));

// How such a number is written: 0.05, 12.5, 1,240, 3.1 × 10⁶.
function short(number) {
  const size = Math.abs(number);
  if (size < 1e5 && (size >= 1e-3 || size === 0)) {
    const digits = { maximumFractionDigits: 5 };
    return round(number).toLocaleString("en-US", digits).replace("-", "−");
  }
  const [digits, power] = number.toExponential(1).split("e");
  const raise = (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)];
  const raised = [...String(Number(power))].map(raise);
  return `${digits} × 10${raised.join("")}`.replace("1.0 × ", "").replace("-", "−");
}

// From numbers between `first` and `last` to places between `start` and `end`, or from powers of ten.
function scale(first, last, start, end, logarithmic = false) {
  const of = logarithmic ? Math.log10 : Number;
  return (value) => start + ((of(value) - of(first)) / (of(last) - of(first))) * (end - start);
}

// About five round numbers from `first` to `last`, of things that are counted whole ones.
function ticks([first, last], { logarithmic = false, whole = false }) {
  if (logarithmic) {
    const [low, high] = [Math.ceil(Math.log10(first)), Math.floor(Math.log10(last))];
    const step = Math.max(1, Math.ceil((high - low) / 5));
    return range(Math.floor((high - low) / step) + 1).map((place) => 10 ** (low + place * step));
  }
  const power = 10 ** Math.floor(Math.log10((last - first) / 4));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => (
    (last - first) / n <= 5 && (n >= 1 || !whole)
  ));
  const start = Math.ceil(first / step - 1e-9);
  const number = Math.floor(last / step + 1e-9) - start + 1;
  return range(number).map((place) => Number(((start + place) * step).toPrecision(6)));
}

// An empty plot; `redraw` makes its axes and gives `draw` both scales and a group for what is drawn.
function addPlot(parent, title, { height = 250, left = 52 } = {}) {
  const [width, right, top, bottom] = [360, 12, 26, 42];
  const svg = addShape(parent, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  svg.setAttribute("aria-label", title);
  const redraw = (xAxis, yAxis, draw) => {
    svg.replaceChildren();
    addShape(svg, "text", { x: left, y: 14, class: "title" }, title);
    const x = scale(...xAxis.range, left, width - right);
    const y = scale(...yAxis.range, height - bottom, top, yAxis.logarithmic);
    for (const value of yAxis.ticks ?? ticks(yAxis.range, yAxis)) {
      addShape(svg, "line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) });
      const at = { x: left - 6, y: y(value) + 4, "text-anchor": "end" };
      addShape(svg, "text", at, (yAxis.write ?? short)(value));
    }
    for (const value of xAxis.ticks ?? ticks(xAxis.range, xAxis)) {
      const at = { x: x(value), y: height - bottom + 17, "text-anchor": "middle" };
      addShape(svg, "text", at, short(value));
    }
    const corner = `M${left},${top}V${height - bottom}H${width - right}`;
    const below = { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" };
    addShape(svg, "text", below, xAxis.label);
    draw(x, y, addShape(svg, "g"));
    addShape(svg, "path", { class: "axis", d: corner });
  };
  // Pressed or dragged, `choose` is given how far from left (0) to right (1). The plot captures the
  // pointer, as `choose` may take away what was touched, with which a finger's drag would end.
  const onPress = (choose) => {
    svg.style.touchAction = "pan-y";
    const tell = (event) => {
      if (event.buttons !== 1) return;
      if (event.type === "pointerdown") svg.setPointerCapture(event.pointerId);
      const { left: start, width: length } = svg.getBoundingClientRect();
      const place = ((event.clientX - start) / length) * width;
      choose(Math.min(1, Math.max(0, (place - left) / (width - left - right))));
    };
    svg.addEventListener("pointerdown", tell);
    svg.addEventListener("pointermove", tell);
  };
  return { redraw, onPress };
}

function addLine(group, points, attributes) {
  const path = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");
  return addShape(group, "path", { class: "line", d: `M${path}`, ...attributes });
}

// What the colours mean.
function addLegend(parent, names) {
  const list = addElement(parent, "div", { class: "legend" });
  names.forEach((name, number) => {
    addElement(list, "span", { style: `--of: ${color(number)}` }, name);
  });
}

// A slider with its label; `write` says what a value means.
function addSlider(parent, text, { min, max, step = 1, value, write = String }, onChange) {
  const label = addElement(parent, "label", {}, `${text} `);
  const said = addElement(label, "span", { class: "value" });
  const input = addElement(label, "input", { type: "range", min, max, step, value });
  const tell = () => {
    said.textContent = write(Number(input.value));
    input.setAttribute("aria-valuetext", said.textContent);
  };
  input.addEventListener("input", () => { tell(); onChange(); });
  tell();
  const set = (wanted) => { input.value = wanted; tell(); onChange(); };
  return { set, get value() { return Number(input.value); } };
}

// Buttons of which one is pressed at a time.
function addChoice(parent, text, names, onChange) {
  const set = addElement(parent, "fieldset");
  addElement(set, "legend", {}, text);
  const choice = { value: 0 };
  const buttons = names.map((name) => addElement(set, "button", { type: "button" }, name));
  const press = (value) => {
    choice.value = value;
    buttons.forEach((button, number) => button.setAttribute("aria-pressed", number === value));
  };
  buttons.forEach((button, number) => {
    button.addEventListener("click", () => { press(number); onChange(); });
  });
  choice.set = press;
  press(0);
  return choice;
}

// Where a figure says in words and numbers what it shows. To those who cannot see it that is read
// once the controls rest: after each step of a slider it would talk over the slider's own value.
function addTold(parent) {
  const told = addElement(parent, "div", { class: "told" });
  const spoken = addElement(parent, "output", { class: "spoken" });
  let waiting;
  const wait = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { spoken.textContent = told.textContent; }, 800);
  };
  for (const change of ["change", "click"]) parent.addEventListener(change, wait);
  return told;
}

// Bring all figures of this name to life that are not yet; where it fails, the still one stays.
function mount(name, css, show) {
  if (!document.head.querySelector("style[data-explorable]")) {
    addElement(document.head, "style", { "data-explorable": "" }, css);
  }
  for (const block of document.querySelectorAll(`.explorable[data-name="${name}"]:not([data-tried])`)) {
    block.setAttribute("data-tried", "");
    const live = block.querySelector(".live");
    live.replaceChildren();
    try {
      show(live, JSON.parse(block.querySelector("script[type='application/json']").textContent));
      block.setAttribute("data-live", "");
    } catch (error) {
      live.replaceChildren();
      reportError(error);
    }
  }
}
