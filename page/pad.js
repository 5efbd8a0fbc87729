// The pad: draws with mouse, finger or pen; sends the drawing at the end of a stroke.
const canvas = element.querySelector("canvas");
const pen = canvas.getContext("2d");
pen.lineWidth = 24; // pixels of the canvas
pen.lineCap = pen.lineJoin = "round";
let last = null; // where the stroke is, while there is one

function send(url) {
  props.value = url;
  trigger("input");
}

function clear() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
}

function drawTo(event) {
  const box = canvas.getBoundingClientRect();
  const x = ((event.clientX - box.left) * canvas.width) / box.width;
  const y = ((event.clientY - box.top) * canvas.height) / box.height;
  pen.beginPath();
  pen.moveTo(...(last ?? [x, y]));
  pen.lineTo(x, y + 0.01); // a line of no length would not be drawn
  pen.stroke();
  last = [x, y];
}

canvas.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button) return; // a second finger, another button
  canvas.setPointerCapture(event.pointerId);
  drawTo(event);
});
canvas.addEventListener("pointermove", (event) => {
  if (!last || !event.isPrimary) return;
  const between = event.getCoalescedEvents(); // a frame may have several
  (between.length ? between : [event]).forEach(drawTo);
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, (event) => {
    if (!last || !event.isPrimary) return;
    last = null;
    send(canvas.toDataURL());
  });
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  clear();
  const image = button.querySelector("img");
  if (image) {
    const [width, side] = [canvas.width, canvas.height];
    pen.drawImage(image, (width - side) / 2, 0, side, side);
  }
  // The network gets a test image as it is, not enlarged.
  send(image ? image.src : canvas.toDataURL());
});
