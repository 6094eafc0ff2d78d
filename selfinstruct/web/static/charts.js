// The plots of a run's page. A click on a bar shows the candidates that it counts.

const holder = document.getElementById("charts");
const dark = matchMedia("(prefers-color-scheme: dark)");
let data;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function axis() {
  return { gridcolor: colour("grid"), zerolinecolor: colour("grid"), automargin: true };
}

function layout(title, extra) {
  return {
    font: { family: "system-ui, sans-serif", size: 12, color: colour("dim") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 40, r: 10, t: 6, b: 36 },
    barmode: "stack",
    bargap: 0.06,
    xaxis: { ...axis(), title: { text: title, standoff: 8 } },
    yaxis: { ...axis(), rangemode: "tozero" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, traceorder: "normal" },
    dragmode: false,
    ...extra,
  };
}

/** The range of a histogram. It is cut off at the right if a few very long texts would flatten
 * all other bars. */
function reach(found, cut) {
  const counts = found.accepted.map((count, i) => count + found.rejected[i]);
  const from = found.edges[Math.max(0, counts.findIndex((count) => count))];
  if (!cut) return [from, found.edges.at(-1)];
  const all = counts.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  const last = counts.findIndex((count) => (seen += count) >= 0.97 * all);
  return [from, found.edges[last + 1]];
}

function named(threshold, value) {
  const words = threshold.split(".").at(-1).replaceAll("_", " ");
  return `${words} ${String(+value.toFixed(2)).replace("-", "−")}`;
}

function histogram(element, found, title, query, cut = false) {
  const [from, to] = reach(found, cut);
  const middles = found.accepted.map((_, i) => (found.edges[i] + found.edges[i + 1]) / 2);
  const widths = found.accepted.map((_, i) => found.edges[i + 1] - found.edges[i]);
  const places = found.accepted.map((_, i) => [found.edges[i], found.edges[i + 1]]);
  const bars = (name, y, tone) => ({
    type: "bar", name, x: middles, y, width: widths, customdata: places, marker: { color: colour(tone) },
    hovertemplate: "%{customdata[0]:.3~g} to %{customdata[1]:.3~g}: %{y}<extra>" + name + "</extra>",
  });
  const traces = [bars("accepted", found.accepted, "good")];
  if (found.rejected.some((count) => count)) traces.push(bars("rejected", found.rejected, "rejected"));
  const lines = Object.entries(found.thresholds).filter(([, x]) => x <= to);
  const shape = layout(title, {
    showlegend: traces.length > 1,
    shapes: lines.map(([, x]) => ({
      type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1,
      line: { color: colour("ink"), width: 1.5, dash: "dot" },
    })),
    annotations: lines.map(([name, x], i) => ({
      x, yref: "paper", y: 1 - 0.09 * i, text: named(name, x), showarrow: false,
      xanchor: "left", xshift: 3, bgcolor: colour("card"), font: { color: colour("ink"), size: 11 },
    })),
  });
  // Room above the highest bar for the names of the thresholds.
  const highest = Math.max(...found.accepted.map((count, i) => count + found.rejected[i]));
  if (lines.length) shape.yaxis.range = [0, highest * (1.08 + 0.1 * lines.length)];
  shape.xaxis.range = [Math.min(from, ...lines.map(([, x]) => x)), to];
  if (draw(element, traces, shape) && query && !element.dataset.follows) {
    element.dataset.follows = "true";
    element.on("plotly_click", ({ points: [{ customdata, data: { name } }] }) => {
      location.href = `${holder.dataset.candidates}?${query(...customdata)}&verdict=${name}`;
    });
  }
}

/** Draw a plot unless it is empty; return whether it was drawn. */
function draw(element, traces, shape) {
  if (!traces.some((trace) => trace.y.some((count) => count))) {
    element.textContent = "nothing to draw yet";
    element.classList.add("empty");
    return false;
  }
  element.classList.remove("empty");
  if (!element.querySelector(".plotly")) element.textContent = "";
  Plotly.react(element, traces, shape, { responsive: true, displayModeBar: false });
  return true;
}

function range(table, name) {
  return (low, high) => new URLSearchParams({ table, [`min_${name}`]: low, [`max_${name}`]: high });
}

function drawAll() {
  const at = (key) => document.getElementById(`chart-${key}`);
  const rounds = data.yields.map((_, i) => i);
  draw(at("yields"), [{
    type: "scatter", mode: rounds.length > 1 ? "lines+markers" : "markers", x: rounds, y: data.yields,
    line: { color: colour("good") }, marker: { size: 5, color: colour("good") },
    hovertemplate: "round %{x}: %{y:.1%}<extra></extra>",
  }], layout("round", {
    yaxis: { ...axis(), tickformat: ".0%", rangemode: "tozero" },
    xaxis: { ...axis(), zeroline: false, title: { text: "round" }, tickformat: "d", dtick: rounds.length < 10 ? 1 : undefined },
  }));
  histogram(at("rouge_l"), data.rouge_l, "ROUGE-L with the nearest of the pool", range("instructions", "rouge"));
  histogram(at("instruction_logprob"), data.instruction_logprob, "nats per token", range("instructions", "logprob"));
  histogram(at("output_logprob"), data.output_logprob, "nats per token", range("instances", "logprob"));
  histogram(at("instruction_words"), data.instruction_words, "words", null, true);
  histogram(at("output_words"), data.output_words, "words", null, true);
  histogram(at("seed_similarity"), data.seed_similarity, "ROUGE-L with the nearest seed task");
}

async function load() {
  const answer = await fetch(holder.dataset.charts);
  const said = await answer.json();
  if (!answer.ok) {
    for (const chart of holder.querySelectorAll(".chart")) chart.textContent = said.detail;
    return;
  }
  data = said;
  drawAll();
}

if (holder) {
  load();
  document.addEventListener("rounds", load);
  dark.addEventListener("change", () => data && drawAll());
}
