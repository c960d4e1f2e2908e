"use strict";
// Keeps the page up to date with what the server sends. Names come from other programs: they are only ever set as text.

const history = 240;
const looks = [];
let chosen = null;
let lastHeard = 0;

const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const plural = (count, one) => `${number.format(count)} ${one}${count === 1 ? "" : "s"}`;

function age(milliseconds) {
    if (milliseconds < 10_000) return `${(milliseconds / 1000).toFixed(1)} s`;
    if (milliseconds < 600_000) return `${Math.round(milliseconds / 1000)} s`;
    if (milliseconds < 36_000_000) return `${Math.round(milliseconds / 60_000)} min`;
    return `${Math.round(milliseconds / 3_600_000)} h`;
}

function text(element, value, style = "") {
    if (element.textContent !== value) element.textContent = value;
    if (element.className !== style) element.className = style;
}

// The children of `parent`, one for each key, in this order; what is there already is kept.
function keyed(parent, keys, make) {
    const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
    const wanted = new Set(keys);
    for (const [key, child] of known) if (!wanted.has(key)) child.remove();
    keys.forEach((key, index) => {
        const child = known.get(key) ?? make(key);
        child.dataset.key = key;
        if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
    });
    return [...parent.children];
}

function row(labels) {
    return (key) => {
        const line = document.createElement("tr");
        const heading = document.createElement("th");
        heading.scope = "row";
        heading.textContent = key;
        line.append(heading);
        for (const label of labels) {
            const cell = document.createElement("td");
            cell.dataset.label = label;
            cell.append(document.createElement("span"));
            line.append(cell);
        }
        return line;
    };
}

function line(svg, values, low, high, width, height) {
    let shape = svg.querySelector("polyline");
    if (!shape) {
        shape = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
        svg.append(shape);
    }
    const range = Math.max(high - low, 1);
    const points = values
        .map((value, index) => [index, value])
        .filter(([, value]) => value !== undefined)
        .map(([index, value]) => {
            const x = ((index + history - values.length) / (history - 1)) * width;
            const y = height - 2 - ((value - low) / range) * (height - 4);
            return `${x.toFixed(1)},${y.toFixed(1)}`;
        });
    shape.setAttribute("points", points.join(" "));
}

const streamOf = (look, name) => look.streams.find((stream) => stream.name === name);

// Events a second at each look, undefined where the one before is not known.
function rates(name) {
    return looks.map((look, index) => {
        const [before, after] = [looks[index - 1] && streamOf(looks[index - 1], name), streamOf(look, name)];
        const seconds = index > 0 ? (look.at - looks[index - 1].at) / 1000 : 0;
        if (!before || !after || seconds <= 0) return undefined;
        return Math.max(0, (after.sequence - before.sequence) / seconds);
    });
}

function showStreams(look) {
    const names = look.streams.map((stream) => stream.name);
    if (!names.includes(chosen)) chosen = names[0] ?? null;
    const buttons = keyed(byId("streams"), names, (name) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = name;
        button.addEventListener("click", () => {
            chosen = name;
            show();
        });
        return button;
    });
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.key === chosen));
}

function showFigures(stream) {
    const rate = rates(stream.name);
    const latest = rate.at(-1);
    const figures = [
        ["events a second", latest === undefined ? "–" : number.format(Math.round(latest))],
        ["newest event", number.format(stream.newest)],
        ["readable up to", number.format(stream.minimum)],
        ["waiting", number.format(Math.max(0, stream.newest - stream.minimum))],
        ["writers", number.format(stream.writers.length + stream.moreWriters)],
        ["parked", number.format(stream.consumers.reduce((sum, c) => sum + c.parked, 0))],
    ];
    const boxes = keyed(byId("figures"), figures.map(([name]) => name), (name) => {
        const box = document.createElement("div");
        const term = document.createElement("dt");
        term.textContent = name;
        box.append(term, document.createElement("dd"));
        return box;
    });
    figures.forEach(([, value], index) => text(boxes[index].querySelector("dd"), value));
    const known = rate.filter((value) => value !== undefined);
    const most = Math.max(...known, 1);
    line(byId("rate"), rate, 0, most, 600, 80);
    text(byId("rate-caption"), `events a second, over ${plural(looks.length, "look")}; at most ${number.format(Math.round(most))}`);
}

// A heartbeat comes once a second. One that is a little late is worth a look, long before the writer counts as silent.
const late = 1200;
const styles = { gone: "bad", silent: "bad", waiting: "warning", closed: "warning", active: "good" };

function showWriters(stream) {
    const past = looks.map((look) => new Map((streamOf(look, stream.name)?.writers ?? []).map((w) => [w.name, w.position])));
    const positions = past.flatMap((writers) => [...writers.values()]);
    const [low, high] = positions.reduce(([a, b], p) => [Math.min(a, p), Math.max(b, p)], [Infinity, stream.newest]);
    const make = row(["State", "Position", "Over time", "In flight", "Last sign of life"]);
    const rows = keyed(byId("writers").tBodies[0], stream.writers.map((w) => w.name), (name) => {
        const made = make(name);
        const chart = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        chart.setAttribute("viewBox", "0 0 120 24");
        chart.setAttribute("preserveAspectRatio", "none");
        chart.setAttribute("class", "spark");
        chart.setAttribute("role", "img");
        made.cells[3].replaceChildren(chart);
        return made;
    });
    stream.writers.forEach((writer, index) => {
        const cells = rows[index].cells;
        const holds = writer.name === stream.holder ? ", holds readers back" : "";
        const isLate = writer.state === "active" && writer.heartbeatAge > late;
        text(cells[1].firstChild, (isLate ? "late" : writer.state) + holds, isLate ? "warning" : styles[writer.state] ?? "");
        text(cells[2].firstChild, number.format(writer.position));
        const values = past.map((writers) => writers.get(writer.name));
        const chart = cells[3].firstChild;
        line(chart, values, low, high, 120, 24);
        const first = values.find((value) => value !== undefined) ?? writer.position;
        chart.setAttribute("aria-label", `from ${number.format(first)} to ${number.format(writer.position)}`);
        text(cells[4].firstChild, writer.inFlight ? number.format(writer.inFlight) : "", writer.inFlight ? "" : "empty");
        text(cells[5].firstChild, `${age(writer.heartbeatAge)} ago`);
    });
    const more = [];
    if (stream.moreWriters) more.push(`${plural(stream.moreWriters, "more writer")}, of which none is worse`);
    if (stream.left) more.push(`${plural(stream.left, "writer")} left`);
    if (!stream.writers.length) more.push("no writer has joined");
    text(byId("more"), more.join("; "), "dim");
}

function showConsumers(stream) {
    byId("consumers-section").hidden = stream.consumers.length === 0;
    const before = looks.length > 1 ? streamOf(looks.at(-2), stream.name) : undefined;
    const make = row(["Behind", "Events behind", "For", "Position", "Parked", "Moved"]);
    const rows = keyed(byId("consumers").tBodies[0], stream.consumers.map((c) => c.name), (name) => {
        const made = make(name);
        const meter = document.createElement("meter");
        meter.min = 0;
        meter.max = 6;
        meter.low = 2;
        meter.high = 4;
        meter.optimum = 0;
        made.cells[1].replaceChildren(meter);
        return made;
    });
    stream.consumers.forEach((consumer, index) => {
        const cells = rows[index].cells;
        const meter = cells[1].firstChild;
        // One step for each power of ten, up to a million.
        meter.value = Math.log10(consumer.behind + 1);
        const words = consumer.behind ? `${plural(consumer.behind, "event")} behind` : "has passed everything";
        meter.setAttribute("aria-label", words);
        const last = before?.consumers.find((c) => c.name === consumer.name)?.behind;
        const grows = last !== undefined && consumer.behind > last;
        text(cells[2].firstChild, number.format(consumer.behind) + (grows ? ", growing" : ""), grows ? "warning" : "");
        text(cells[3].firstChild, consumer.behindFor ? age(consumer.behindFor) : "", consumer.behindFor ? "" : "empty");
        text(cells[4].firstChild, number.format(consumer.position));
        text(cells[5].firstChild, consumer.parked ? number.format(consumer.parked) : "", consumer.parked ? "bad" : "empty");
        const moved = consumer.movedAgo ?? null;
        text(cells[6].firstChild, moved === null ? "" : `${age(moved)} ago`, moved === null ? "empty" : "");
    });
}

function show() {
    const look = looks.at(-1);
    if (!look) return;
    showStreams(look);
    const stream = chosen === null ? undefined : streamOf(look, chosen);
    for (const part of [byId("figures"), document.querySelector("figure"), ...document.querySelectorAll("section")]) {
        part.hidden = !stream;
    }
    if (!stream) {
        text(byId("sentence"), look.problem ?? "There is nothing to show.", "bad");
        byId("problems").replaceChildren();
        return;
    }
    if (stream.holder) {
        const waiting = plural(stream.newest - stream.minimum, "event");
        text(byId("sentence"), `Readers wait for ${stream.holder}: ${stream.heldBackBy}. ${waiting} cannot be read yet.`, "bad");
    } else {
        text(byId("sentence"), "Readers may read everything.", "good");
    }
    for (const [index, item] of keyed(byId("problems"), stream.problems, () => document.createElement("li")).entries()) {
        text(item, stream.problems[index]);
    }
    showFigures(stream);
    showWriters(stream);
    showConsumers(stream);
    document.title = stream.holder ? `${stream.name}: waits for ${stream.holder}` : `${stream.name} – Tidemark`;
}

function take(found) {
    looks.push(...found);
    looks.splice(0, looks.length - history);
    lastHeard = Date.now();
    text(byId("connection"), "live", "good");
    show();
}

const source = new EventSource("events");
source.addEventListener("past", (event) => {
    looks.length = 0;
    const past = JSON.parse(event.data);
    if (past.length) take(past);
});
source.addEventListener("look", (event) => take([JSON.parse(event.data)]));
source.addEventListener("error", () => text(byId("connection"), "no connection: what is shown is old", "bad"));
setInterval(() => {
    const silent = Date.now() - lastHeard;
    if (lastHeard && silent > 5000) text(byId("connection"), `nothing was heard for ${age(silent)}`, "warning");
}, 1000);
