/* Turns each still scatter into one that answers to the pointer. Text from data is set as text, never as HTML. */
(() => {
  "use strict";
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const box = document.createElement("div");
  box.className = "nv-hover";
  box.hidden = true;
  const picture = box.appendChild(document.createElement("i"));
  const words = box.appendChild(document.createElement("span"));
  document.body.append(box);

  const show = (data, at, event) => {
    const pictures = data.pictures;
    const spot = pictures && pictures.spots[at];
    picture.hidden = !spot;
    if (spot) {
      const [height, width] = pictures.shape;
      picture.style.aspectRatio = `${width} / ${height}`;
      picture.style.backgroundImage = `url(${pictures.uri})`;
      picture.style.backgroundSize = pictures.size;
      picture.style.backgroundPosition = spot;
    }
    words.textContent = data.text[at] || "";
    words.hidden = !data.text[at];
    box.hidden = !spot && !data.text[at];
    const left = Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8);
    const top = Math.min(event.clientY + 14, innerHeight - box.offsetHeight - 8);
    box.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
  };

  const axis = (title) => ({
    title: { text: title, standoff: 8 }, automargin: true, zeroline: false,
    gridcolor: style("--rule"), color: style("--muted"),
  });
  const layout = (data, width) => ({
    width, height: Math.max(260, Math.round(width * 0.68)), margin: { l: 36, r: 8, t: 8, b: 36 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
    dragmode: "pan", font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: style("--muted") },
    xaxis: axis(data.xLabel), yaxis: axis(data.yLabel),
  });
  const trace = (data) => ({
    type: "scatter", mode: "markers", x: data.x, y: data.y, hoverinfo: "none",
    marker: { color: data.colour.map(style), size: data.x.length > 1500 ? 5 : 7, opacity: 0.78, line: { width: 0 } },
  });
  const line = (data) => ({
    type: "scatter", mode: "lines", x: data.line[0], y: data.line[1], hoverinfo: "skip",
    line: { color: style("--muted"), width: 1.2, dash: "dash" },
  });
  const numbers = (data) => ({
    type: "scatter", mode: "text", hoverinfo: "skip", x: data.numbers.map((one) => one[0]),
    y: data.numbers.map((one) => one[1]), text: data.numbers.map((one) => `<b>${one[2]}</b>`),
    textfont: { color: style("--ink"), size: 13 },
  });
  const settings = { displaylogo: false, displayModeBar: false, scrollZoom: false, responsive: false };

  for (const place of document.querySelectorAll('[data-plotly="scatter"]')) {
    const data = JSON.parse(document.getElementById(place.dataset.from).textContent);
    const still = [...place.childNodes];
    const paint = () => Plotly.react(place, [trace(data), line(data), numbers(data)], layout(data, place.clientWidth), settings);
    still.forEach((node) => node.remove());
    paint().then(() => {
      place.on("plotly_hover", (event) => show(data, event.points[0].pointNumber, event.event));
      place.on("plotly_unhover", () => { box.hidden = true; });
    });
    for (const query of ["(prefers-color-scheme: dark)", "print"]) {
      matchMedia(query).addEventListener("change", paint);
    }
    let width = place.clientWidth;
    new ResizeObserver(() => {
      if (place.clientWidth && place.clientWidth !== width) { width = place.clientWidth; paint(); }
    }).observe(place);
  }
})();
