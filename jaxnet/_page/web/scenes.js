// A tour through what the video shows. A scene is two sentences, one thing to try, and a link.

const FIRST_DIGITS = 20; // of each digit on the wall: 60 is the first 3

/** @param {number} digit */
const firstOf = (digit) => `digit=${FIRST_DIGITS * digit}`;

/** @typedef {{ name: string, title: string, text: string, attempt: string, link: string }} Scene */
/** @type {Scene[]} */
export const SCENES = [
  {
    name: "pixels",
    title: "784 pixels",
    text: "A picture of 28 × 28 pixels is 784 numbers, from 0 for black to 1 for white. They are the first layer of the network.",
    attempt: "Draw a digit: the picture left of the network is what it gets to see.",
    link: `network=trained&${firstOf(3)}`,
  },
  {
    name: "layers",
    title: "Layers",
    text: "A neuron holds a number, its activation; the brighter the circle, the higher. The activations of one layer determine those of the next, and the brightest of the last ten is the answer.",
    attempt: "Press Slowly, and follow the pulse.",
    link: `network=trained&${firstOf(7)}`,
  },
  {
    name: "neuron",
    title: "One neuron",
    text: "A neuron multiplies every activation of the layer before by a weight of its own and adds them all up. Some lines push it up, others pull it down.",
    attempt: "Choose other neurons, with a tap or the arrow keys, and see which lines feed them.",
    link: "network=trained&neuron=2-5",
  },
  {
    name: "weights",
    title: "Weights as a grid",
    text: "The 784 weights into a neuron of the second layer can be laid out like the picture they look at. What you see is the pattern that this neuron hopes for, and what it dislikes.",
    attempt: "Point at the neurons of the second layer, one by one: do you find edges?",
    link: "network=trained&neuron=1-3",
  },
  {
    name: "edge",
    title: "An edge, painted by hand",
    text: "Suppose this neuron should pick up on an edge: weights that are positive along it, and negative on both sides. All other dials of this network are at zero.",
    attempt:
      "Take the brush “an edge”, drag across the black weights, and then draw a stroke there.",
    link: "network=zero&neuron=1-0&drawing=",
  },
  {
    name: "bias",
    title: "The bias",
    text: "The bias says how high the weighted sum must be before the neuron gets active. With a bias of −10 it needs a sum above 10.",
    attempt: "Slide the bias up and down, and watch the neuron light up and go out.",
    link: `network=trained&neuron=1-3&${firstOf(5)}`,
  },
  {
    name: "sigmoid",
    title: "The squashing function",
    text: "The sum may be any number, and the sigmoid squashes it into the range from 0 to 1. Many networks use ReLU today, which leaves positive sums as they are.",
    attempt: "Under “Turn the dials”, switch to ReLU: this network was never trained with it.",
    link: `network=trained&neuron=2-5&${firstOf(2)}`,
  },
  {
    name: "dials",
    title: "13,002 dials",
    text: "784 × 16 + 16 × 16 + 16 × 10 weights and 16 + 16 + 10 biases: 13,002 numbers decide what this network answers. Learning means to find a good setting for all of them.",
    attempt: "Paint over some weights, and see on the wall which digits it now gets wrong.",
    link: "network=trained&neuron=1-7",
  },
  {
    name: "hand",
    title: "Made by hand",
    text: "Nobody has to learn anything: all dials of this network were set by reason, edges first, then parts of digits, then digits. It gets about two digits in three right.",
    attempt: "Choose neurons, and read what each is there for.",
    link: `network=handmade&neuron=1-1&${firstOf(7)}`,
  },
  {
    name: "edges",
    title: "The hope: edges",
    text: "One would hope that the second layer picks up on little edges, and the trained network does not. In this one every neuron of that layer is exactly an edge, whose place was learned.",
    attempt: "Point at the second layer, and press Slowly.",
    link: `network=edges&neuron=1-2&${firstOf(4)}`,
  },
  {
    name: "components",
    title: "The hope: components",
    text: "And that the third layer finds components: a loop above, a bar at the bottom. In this network each neuron of the third layer was taught one of sixteen.",
    attempt: "Draw a 9, and see which components light up.",
    link: `network=components&neuron=2-0&${firstOf(9)}`,
  },
  {
    name: "learning",
    title: "Learning",
    text: "All dials are random here, and so are the answers. The cost says how bad they are, and each step nudges every dial in the direction that lowers the cost most.",
    attempt: "Press Learn, and watch the wall, and this neuron's noise turn into strokes.",
    link: `network=random&seed=7&neuron=1-4&${firstOf(8)}`,
  },
];

/** The bar of scenes. @param {(id: string) => any} byId */
export function tour(byId) {
  for (const { name, title } of SCENES) byId("scene").append(new Option(title, name));
  byId("scene").addEventListener("change", (/** @type {Event} */ { target }) => {
    const { value } = /** @type {HTMLSelectElement} */ (target);
    location.hash = linkTo(SCENES.find(({ name }) => name === value));
  });
  /** @param {Scene | undefined} to */
  const linkTo = (to) => (to ? `#scene=${to.name}&${to.link}` : "#scene=");

  return {
    /** Shows the scene of this name, or how to begin. @param {string} name */
    show(name) {
      const k = SCENES.findIndex((one) => one.name === name);
      const here = SCENES[k];
      byId("scene").value = here ? name : "";
      byId("scene-text").textContent = here ? here.text : "";
      byId("scene-attempt").textContent = here ? here.attempt : "";
      byId("scene-said").hidden = !here;
      byId("scene-begin").hidden = Boolean(here);
      byId("scene-at").textContent = here
        ? `${k + 1} of ${SCENES.length}`
        : `${SCENES.length} scenes`;
      byId("scene-before").href = linkTo(SCENES[k - 1]);
      byId("scene-next").href = linkTo(SCENES[k + 1]);
    },
  };
}
