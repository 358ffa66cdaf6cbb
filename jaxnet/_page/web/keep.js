// Saving and loading a network, a photo of a digit, a link to what one sees, and a picture of it.

import { PIXELS } from "./drawing.js";
import { download, fromSafetensors, toSafetensors } from "./files.js";
import { toFragment } from "./links.js";
import { count } from "./network.js";
import { imageOf } from "./photo.js";
/** @typedef {import("./links.js").State} State */

/** @param {(id: string) => any} byId
 *  @param {{ now: () => State, image: () => Float32Array, begin: (start: State["start"]) => void, draw: (image: Float32Array) => void, saved: (net: State["net"]) => void, report: (sentence: string) => void }} page */
export function keepers(byId, page) {
  byId("save").addEventListener("click", () => {
    const notes = { made: "on the page of jaxnet" };
    page.saved(page.now().net);
    download("network.safetensors", new Blob([toSafetensors(page.now().net, notes)]));
    page.report("Saved. In Python: params, info = jaxnet.load('network.safetensors')");
  });
  byId("load").addEventListener("click", () => byId("file").click());
  /** @param {File | undefined} file */
  async function open(file) {
    if (!file) return;
    if (file.type.startsWith("image/")) return draw(file);
    try {
      const net = fromSafetensors(await file.arrayBuffer(), PIXELS);
      page.saved(net);
      page.begin({ name: "file", seed: 0, net });
      page.report(
        `${file.name}: ${count(net).toLocaleString("en")} dials are set as in this file.`,
      );
    } catch (error) {
      page.report(`${file.name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  /** @param {File} file */
  async function draw(file) {
    const image = await imageOf(file).catch(() => null);
    if (image) page.draw(image);
    page.report(
      image
        ? `${file.name} is on the pad, framed as the network saw digits.`
        : `${file.name}: no digit is found in this picture.`,
    );
  }
  byId("file").addEventListener("change", async () => {
    await open(byId("file").files[0]);
    byId("file").value = "";
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    open(event.dataTransfer?.files[0]);
  });
  byId("link").addEventListener("click", async () => {
    const { fragment, whole } = toFragment(page.now(), page.image());
    const more = whole
      ? ""
      : " It does not hold these dials, which are too many for a link: save the network as a file.";
    try {
      window.history.replaceState(null, "", fragment);
    } catch {
      return page.report(
        "There is no link to a page in a notebook: write it to a file by jaxnet page.",
      );
    }
    try {
      await navigator.clipboard.writeText(location.href);
      page.report(`The link is copied; who opens it sees what you see.${more}`);
    } catch {
      page.report(`The link is in the address bar now; who opens it sees what you see.${more}`);
    }
  });
  byId("picture").addEventListener("click", () => {
    const from = byId("network");
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [from.width, from.height];
    const context = /** @type {CanvasRenderingContext2D} */ (copy.getContext("2d"));
    context.fillStyle = getComputedStyle(from.parentElement).backgroundColor;
    context.fillRect(0, 0, copy.width, copy.height);
    context.drawImage(from, 0, 0);
    copy.toBlob((blob) => blob && download("network.png", blob));
    page.report("The picture is saved as network.png.");
  });
}
