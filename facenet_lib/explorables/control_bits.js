
// Chapter 3: control bits switched on and off, and the number that they add up to.

const controlOf = (switches, values) => sum(values.filter((_, bit) => switches[bit]));

// Which of the values are in a control, as bits are: each is a power of two.
const switchesOf = (control, values) => values.map((value) => Math.floor(control / value) % 2 === 1);

// As a programmer writes it: 2 + 4 = 6 = 0b00110.
function writeSum(control, values) {
  const parts = values.filter((_, bit) => switchesOf(control, values)[bit]);
  const added = parts.length > 1 ? `${parts.join(" + ")} = ` : "";
  return `${added}${control} = 0b${control.toString(2).padStart(values.length, "0")}`;
}

function show(live, { bits, sheet, side, columns, start }) {
  const [names, values] = [Object.keys(bits), Object.values(bits)];
  const set = addElement(live, "fieldset");
  addElement(set, "legend", {}, "Bits of the control");
  const buttons = names.map((name, bit) => {
    const button = addElement(set, "button", { type: "button" }, `${values[bit]} ${name}`);
    button.addEventListener("click", () => {
      const switches = switchesOf(slider.value, values);
      switches[bit] = !switches[bit];
      slider.set(controlOf(switches, values));
    });
    return button;
  });
  const controls = addElement(live, "div", { class: "controls" });
  const slider = addSlider(controls, "Control", { min: 0, max: sum(values), value: start }, update);
  const picture = addShape(live, "svg", { class: "picture", role: "img" });
  addShape(picture, "image", { href: sheet, width: side * columns });
  const told = addTold(live);

  function update() {
    const control = slider.value;
    const [x, y] = [control % columns, Math.floor(control / columns)].map((place) => place * side);
    picture.setAttribute("viewBox", `${x} ${y} ${side} ${side}`);
    picture.setAttribute("aria-label", `The face as control ${control} makes it`);
    const switches = switchesOf(control, values);
    buttons.forEach((button, bit) => button.setAttribute("aria-pressed", switches[bit]));
    const chosen = names.filter((_, bit) => switches[bit]).map((name) => `Control.${name}`);
    told.textContent = `${writeSum(control, values)}: ${chosen.join(" | ") || "Control(0)"}`;
  }
  update();
}
