// The part of the report that answers: every model, a range of complexity, and the EDFs over it.

const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const theme = $('theme');

function dark() {
  return (root.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
}
const repaints = [];
function showTheme() { theme.textContent = dark() ? 'Light mode' : 'Dark mode'; for (const repaint of repaints) repaint(); }
theme.hidden = false;
theme.addEventListener('click', () => { root.dataset.theme = dark() ? 'light' : 'dark'; showTheme(); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showTheme);
showTheme();

// A table wider than the page is scrolled by keys too.
const scrollers = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const wide = target.scrollWidth > target.clientWidth;
    for (const [name, value] of [['tabindex', '0'], ['role', 'region'], ['aria-label', target.querySelector('caption').textContent]]) {
      if (wide) target.setAttribute(name, value); else target.removeAttribute(name);
    }
  }
});
for (const scroller of document.querySelectorAll('.scroll')) scrollers.observe(scroller);

const SVG = 'http://www.w3.org/2000/svg';
function svg(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
function html(name, text, style) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (style) made.className = style;
  return made;
}

function short(count) {
  const shown = Number(count.toPrecision(3)); // before, so that 999,999 is 1 M
  const [scale, letter] = [[1e9, '\u202fB'], [1e6, '\u202fM'], [1e3, '\u202fk']].find(([unit]) => shown >= unit) ?? [1, ''];
  return `${Number((shown / scale).toPrecision(3))}${letter}`;
}
const whole = (count) => count.toLocaleString('en-US', { maximumFractionDigits: 2 });

function ticks(lo, hi, most = 6) {
  const rough = (hi - lo) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((one) => one >= rough * (1 - 1e-9));
  const found = [];
  for (let i = Math.ceil(lo / step - 1e-9); i <= hi / step + 1e-9; i += 1) found.push(Number((i * step).toPrecision(12)));
  return found;
}

// Grid and labels, as edfkit/show/report/draw.py draws them.
function axes(into, x, y, write, most = 6) {
  const percent = (value) => `${(100 * value).toFixed(2)}%`;
  for (const value of ticks(y.lo, y.hi)) {
    const at = percent(1 - (value - y.lo) / (y.hi - y.lo));
    into.append(svg('line', { class: 'grid', x1: 0, x2: '100%', y1: at, y2: at }));
    into.append(svg('text', { x: 0, y: at, dx: -8, dy: '.32em', 'text-anchor': 'end' }, String(value)));
  }
  for (const value of ticks(Math.min(x.lo, x.hi), Math.max(x.lo, x.hi), most)) {
    const at = percent((value - x.lo) / (x.hi - x.lo));
    into.append(svg('text', { x: at, y: '100%', dy: '1.6em', 'text-anchor': 'middle' }, write(value)));
  }
  into.append(svg('line', { class: 'base', x1: 0, x2: '100%', y1: '100%', y2: '100%' }));
}

const MARKERS = {
  o: (c, x, y, r) => { c.moveTo(x + r, y); c.arc(x, y, r, 0, 7); },
  s: (c, x, y, r) => c.rect(x - r, y - r, 2 * r, 2 * r),
  D: (c, x, y, r) => polygon(c, x, y, r * 1.3, 4, 0),
  '^': (c, x, y, r) => polygon(c, x, y, r * 1.35, 3, -Math.PI / 2),
  v: (c, x, y, r) => polygon(c, x, y, r * 1.35, 3, Math.PI / 2),
  '>': (c, x, y, r) => polygon(c, x, y, r * 1.35, 3, 0),
  '<': (c, x, y, r) => polygon(c, x, y, r * 1.35, 3, Math.PI),
  X: (c, x, y, r) => polygon(c, x, y, r * 1.5, 4, Math.PI / 4, 0.4),
  P: (c, x, y, r) => polygon(c, x, y, r * 1.5, 4, 0, 0.4),
  '*': (c, x, y, r) => polygon(c, x, y, r * 1.6, 5, -Math.PI / 2, 0.45),
};
function polygon(c, x, y, r, corners, turn, inner) {
  const points = inner ? 2 * corners : corners;
  for (let i = 0; i < points; i += 1) {
    const reach = inner && i % 2 ? r * inner : r, angle = turn + (2 * Math.PI * i) / points;
    const at = [x + reach * Math.cos(angle), y + reach * Math.sin(angle)];
    if (i) c.lineTo(...at); else c.moveTo(...at);
  }
  c.closePath();
}

async function explore() {
  const about = JSON.parse($('about').textContent);
  const block = await unpack($('block').textContent);
  const spaces = about.spaces.map((one) => space(block, one)), names = spaces.map((one) => one.name);
  const pooled = pool(spaces);
  const models = $('models'), canvas = models.querySelector('canvas'), tip = $('model');
  const inputs = { given: $('given'), from: $('from'), to: $('to'), strata: $('strata') };
  const state = { given: about.given, lo: 0, hi: 1, strata: null, common: 0, curves: [], pairs: [], message: '', at: null };
  let x, y; // of the models: raw counts and oriented values, of which the smaller is the better one

  // Values are packed as oriented ones; what is shown has the metric's own sign.
  const { metric } = about, BEYOND = 3e38, SENSELESS = 1e30;
  const own = (value) => (metric.sign < 0 ? 0 - value : value);
  const written = (value) => (Math.abs(value) < SENSELESS ? own(value).toFixed(metric.digits) : '-');

  // --- The models

  const keys = Array.from(document.querySelectorAll('#explore .legend li'), (item) => item.appendChild(html('canvas')));
  function key(into, colour, draw_) {
    into.width = 36;
    into.height = 36;
    const context = into.getContext('2d');
    context.fillStyle = colour;
    draw_(context, 18, 18, 10);
    context.fill();
  }

  function frame() {
    let lo = Infinity, hi = -Infinity;
    for (const one of spaces) for (const value of one.columns[state.given]) { lo = Math.min(lo, value); hi = Math.max(hi, value); }
    const margin = 0.02 * (hi - lo) || 1;
    x = { lo: Math.max(0, lo - margin), hi: hi + margin, least: lo, most: hi };
    const sorted = spaces.map((one) => Float64Array.from(one.columns.error).sort());
    const known = sorted.map((errors) => errors.filter((error) => error < BEYOND)).filter((errors) => errors.length);
    const top = Math.max(...known.map((errors) => errors[Math.ceil(0.98 * errors.length) - 1]));
    const bottom = Math.min(...known.map((errors) => errors[0]));
    const space_ = 0.06 * (top - bottom) || 1;
    y = { lo: Math.max(metric.least ?? -Infinity, bottom - space_), hi: top + space_ };
    const beyond = sorted.reduce((sum, errors) => sum + errors.filter((error) => error > y.hi).length, 0);
    const [side, edge] = metric.sign < 0 ? ['below', 'lower'] : ['above', 'upper'];
    $('scatter-label').textContent = `${state.given} of a model`;
    $('scatter-caption').textContent = spaces.map((one) => `${whole(one.models)} ${one.name}`).join(', ')
      + (beyond ? `; ${whole(beyond)} models ${side} ${own(y.hi).toPrecision(3)}${metric.unit} are at the ${edge} edge.` : ' models.');
    $('scatter-axes').replaceChildren();
    axes($('scatter-axes'), x, metric.sign < 0 ? { lo: own(y.hi), hi: own(y.lo) } : y, short, 5);
  }

  const across = (value, width) => ((value - x.lo) / (x.hi - x.lo)) * width;
  const down = (error, height) => {
    const share = (Math.min(error, y.hi) - y.lo) / (y.hi - y.lo);
    return (metric.sign < 0 ? share : 1 - share) * height;
  };

  function paint() {
    const { width, height } = models.getBoundingClientRect();
    if (!width) return;
    const scale = Math.min(3, devicePixelRatio || 1);
    canvas.width = width * scale;
    canvas.height = height * scale;
    const context = canvas.getContext('2d');
    context.scale(scale, scale);
    const most = Math.max(...spaces.map((one) => one.models));
    const radius = Math.min(3, Math.max(1.3, 60 / Math.sqrt(most)));
    context.globalAlpha = Math.min(0.75, Math.max(0.18, 12 / Math.sqrt(most)));
    const colours = spaces.map((_, i) => getComputedStyle(document.querySelector(`.swatch .s${i}`)).stroke);
    spaces.forEach((one, i) => key(keys[i], colours[i], MARKERS[one.marker] ?? MARKERS.o));
    const part = Math.ceil(most / 40); // in turns, so that none lies on top everywhere
    for (let start = 0; start < most; start += part) {
      spaces.forEach((one, i) => {
        const counts = one.columns[state.given], { error } = one.columns, mark = MARKERS[one.marker] ?? MARKERS.o;
        context.fillStyle = colours[i];
        for (let model = start; model < Math.min(start + part, one.models); model += 1) {
          context.beginPath();
          mark(context, across(counts[model], width), down(error[model], height), radius);
          context.fill();
        }
      });
    }
  }

  // --- The range

  function choose(lo, hi, strata = state.strata) {
    Object.assign(state, { lo, hi, strata });
    inputs.from.value = lo;
    inputs.to.value = hi;
    inputs.strata.value = strata ?? '';
    compute();
  }

  function reset(given) {
    state.given = given;
    inputs.given.value = given;
    frame();
    paint();
    leave();
    choose(...about.ranges[given], about.strata);
  }

  function typed() {
    const [lo, hi] = [inputs.from, inputs.to].map((input) => (input.value === '' ? NaN : Number(input.value)));
    const { value, validity } = inputs.strata; // a text that is no number has no value either
    Object.assign(state, { lo, hi, strata: validity.badInput ? NaN : value === '' ? null : Number(value) });
    compute();
  }

  function wrong() {
    const { lo, hi, strata } = state;
    if (!Number.isFinite(lo) || !Number.isFinite(hi)) return 'The range has an end that is no number; give a raw count.';
    if (strata !== null && !(Number.isInteger(strata) && strata >= 1 && strata <= 1e5)) {
      return 'The number of strata must be a whole number from 1 to 100,000, or empty.';
    }
    return lo > hi ? 'The range must not start above its end; give a wider one.' : '';
  }

  function compute() {
    const { given, lo, hi, strata } = state;
    state.message = wrong();
    const found = state.message ? { strata: 0, curves: [] } : edfs(pooled, names, given, lo, hi, strata);
    state.common = found.strata;
    state.curves = found.curves;
    state.pairs = state.message ? [] : about.pairs.map((pair) => (
      pair.refused ? { ...pair } : { ...pair, ...estimates(pooled, given, pair, lo, hi, strata, 1 - about.confidence) }
    ));
    for (const input of [inputs.from, inputs.to, inputs.strata]) input.setAttribute('aria-invalid', String(Boolean(state.message)));
    mark();
    draw();
  }

  function mark() {
    const inside = (value) => Math.min(1, Math.max(0, (value - x.lo) / (x.hi - x.lo)));
    for (const end of ['lo', 'hi']) {
      const handle = $(end), value = state[end];
      handle.hidden = !Number.isFinite(value);
      if (handle.hidden) continue;
      handle.style.left = `${100 * inside(value)}%`;
      handle.setAttribute('aria-valuemin', x.least);
      handle.setAttribute('aria-valuemax', x.most);
      handle.setAttribute('aria-valuenow', value);
      handle.setAttribute('aria-valuetext', `${whole(value)} ${state.given}`);
    }
    $('before').style.width = `${100 * inside(state.lo || 0)}%`;
    $('after').style.width = `${100 * (1 - inside(state.hi))}%`;
  }

  function draw() {
    const { lo, hi, given, curves, message } = state;
    const [left, right] = about.span, drawing = $('again');
    drawing.replaceChildren();
    axes(drawing, { lo: own(left), hi: own(right) }, { lo: 0, hi: 1 }, String);
    const inner = svg('svg', { viewBox: '0 0 1000 1000', preserveAspectRatio: 'none', width: '100%', height: '100%' });
    curves.forEach((curve, i) => {
      let path = '', height = 0, started = false;
      const at = (value) => (1000 * (value - left)) / (right - left);
      curve.values.forEach((value, step) => {
        if (at(value) > 1000) return;
        if (at(value) > 0) {
          if (!started) { path = `M0 ${(1000 * (1 - height)).toFixed(1)}`; started = true; }
          path += `H${at(value).toFixed(1)}V${(1000 * (1 - curve.heights[step])).toFixed(1)}`;
        }
        height = curve.heights[step];
      });
      if (!started) path = `M0 ${(1000 * (1 - height)).toFixed(1)}`;
      inner.append(svg('path', { class: `line s${i}`, d: `${path}H1000` }));
    });
    drawing.append(inner);
    const found = $('found');
    found.classList.toggle('wrong', Boolean(message));
    const where = `Given ${given}, ${whole(lo)} to ${whole(hi)}`;
    const inside = (one) => one.columns[given].some((value) => lo <= value && value <= hi);
    const empty = spaces.filter((one) => !inside(one)).map((one) => one.name);
    found.textContent = message || (curves.length
      ? `${where}: ${whole(state.common)} ${state.common === 1 ? 'stratum holds' : 'strata hold'} models of all spaces.`
      : `${where}: ${empty.length ? `${empty.join(' and ')} has no model there` : 'no stratum holds models of all spaces'}, so that no EDFs are drawn.`);
    const rows = curves.map((curve) => {
      const row = html('tr');
      const head = html('th', curve.name, 'text');
      head.scope = 'row';
      const numbers = [whole(curve.models), curve.nEff.toFixed(1), ...[curve.min, curve.median, curve.mean].map(written)];
      row.append(head, ...numbers.map((number) => html('td', number)));
      return row;
    });
    $('chosen').tBodies[0].replaceChildren(...rows);
    $('pairs').tBodies[0].replaceChildren(...state.pairs.map(pairRow));
  }

  function pairRow(pair) {
    const row = html('tr'), head = html('th');
    head.scope = 'row';
    head.className = 'text';
    head.append(html('span', names[pair.a], `name s${pair.a}`));
    const other = html('td', undefined, 'text');
    other.append(html('span', names[pair.b], `name s${pair.b}`));
    row.append(head, other);
    if (pair.refused) {
      const why = html('td', pair.refused, 'text why');
      why.colSpan = 4;
      row.append(why);
      return row;
    }
    const signed = (value, digits, plus) => `${plus && value >= 0 ? '+' : ''}${value.toFixed(digits)}`;
    const turned = (one) => (one && metric.sign < 0 ? { estimate: own(one.estimate), low: own(one.high), high: own(one.low) } : one);
    const interval = (one, digits, plus) => {
      if (!one || !(Math.abs(one.estimate) < SENSELESS)) return '-';
      const [estimate, low, high] = [one.estimate, one.low, one.high].map((value) => signed(value, digits, plus));
      return `${estimate} (${low} to ${high})`;
    };
    const numbers = [whole(pair.strata), (2 * pair.overlap).toFixed(1), interval(pair.better, 3), interval(turned(pair.mean), metric.digits, true)];
    row.append(...numbers.map((number) => html('td', number)));
    return row;
  }

  // --- One model

  function show(place) {
    state.at = place;
    const one = spaces[place.space], { columns } = one;
    const { width, height } = models.getBoundingClientRect();
    const left = across(columns[state.given][place.model], width), top = down(columns.error[place.model], height);
    const ring = $('ring');
    ring.hidden = false;
    ring.style.left = `${left}px`;
    ring.style.top = `${top}px`;
    tip.replaceChildren();
    const error = columns.error[place.model];
    const value = error < BEYOND ? `${Number(own(error).toFixed(Math.max(4, metric.digits)))}${metric.unit}` : 'worse than any';
    const head = html('p');
    head.append(html('strong', one.name, `name s${place.space}`), ` model ${columns.row[place.model]}: ${metric.label} ${value}`);
    tip.append(head);
    tip.append(html('p', Object.keys(about.ranges).map((name) => `${short(columns[name][place.model])} ${name}`).join(', ')));
    const grid = html('table');
    for (const [what, numbers] of network(one, place.model, about.ops)) {
      const row = html('tr');
      const head_ = html('th', what);
      head_.scope = 'row';
      row.append(head_);
      if (typeof numbers[0] === 'number') row.append(...numbers.map((number) => html('td', String(Number(number.toPrecision(4))))));
      else {
        const cell = html('td', '', 'nodes');
        cell.colSpan = 9;
        numbers.forEach((line, i) => { if (i) cell.append(html('br')); cell.append(html('code', line)); });
        row.append(cell);
      }
      grid.append(row);
    }
    if (grid.rows.length) tip.append(grid); else tip.append(html('p', 'Its network is not described in the archive.'));
    tip.hidden = false;
    const page = models.getBoundingClientRect(), around = tip.offsetParent.getBoundingClientRect();
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(page.left + left + 14, room)) - around.left}px`;
    const below = page.top + top + 22, above = page.top + top - tip.offsetHeight - 22;
    const fits = below + tip.offsetHeight < innerHeight || above < 0;
    tip.style.top = `${(fits ? below : above) - around.top}px`;
  }

  function leave() {
    state.at = null;
    tip.hidden = true;
    $('ring').hidden = true;
  }

  function nearest(left, top, reach) {
    const { width, height } = models.getBoundingClientRect();
    let best = reach * reach, found = null;
    spaces.forEach((one, i) => {
      const counts = one.columns[state.given], { error } = one.columns;
      for (let model = 0; model < one.models; model += 1) {
        const away = (across(counts[model], width) - left) ** 2 + (down(error[model], height) - top) ** 2;
        if (away < best) { best = away; found = { space: i, model }; }
      }
    });
    return found;
  }

  const orders = new Map(); // the models of a space by complexity
  function order(i) {
    const key = `${state.given} ${i}`;
    if (!orders.has(key)) {
      const counts = spaces[i].columns[state.given];
      orders.set(key, Uint32Array.from(counts.keys()).sort((a, b) => counts[a] - counts[b] || a - b));
    }
    return orders.get(key);
  }

  function walk(key) {
    const at = state.at ?? { space: 0, model: order(0)[0] };
    if (!state.at) return show(at);
    const sorted = order(at.space), place = sorted.indexOf(at.model), last = sorted.length - 1;
    const to = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: last, PageUp: place - Math.ceil(last / 20), PageDown: place + Math.ceil(last / 20) }[key];
    if (to !== undefined) return show({ space: at.space, model: sorted[Math.min(last, Math.max(0, to))] });
    const next = (at.space + (key === 'ArrowDown' ? 1 : spaces.length - 1)) % spaces.length;
    const here = spaces[at.space].columns[state.given][at.model], counts = spaces[next].columns[state.given];
    let model = 0;
    counts.forEach((value, i) => { if (Math.abs(value - here) < Math.abs(counts[model] - here)) model = i; });
    return show({ space: next, model });
  }

  // --- Events

  function point(event) {
    const box = models.getBoundingClientRect();
    return { left: event.clientX - box.left, top: event.clientY - box.top, width: box.width };
  }
  const countAt = ({ left, width }) => {
    const value = x.lo + (Math.min(width, Math.max(0, left)) / width) * (x.hi - x.lo);
    return Math.round(Math.min(x.most, Math.max(x.least, value)));
  };
  let drag = null;
  models.addEventListener('pointerdown', (event) => {
    if (event.button) return;
    const end = ['lo', 'hi'].find((id) => $(id) === event.target);
    const start = point(event);
    drag = end ? { end, moved: true } : { from: countAt(start), left: start.left, moved: false };
    models.setPointerCapture(event.pointerId);
  });
  models.addEventListener('pointermove', (event) => {
    const at = point(event);
    if (!drag) {
      const found = nearest(at.left, at.top, 16);
      if (found) show(found); else leave();
      return;
    }
    if (!drag.moved && Math.abs(at.left - drag.left) < 5) return;
    drag.moved = true;
    leave();
    const to = countAt(at);
    if (drag.end) {
      const fixed = drag.end === 'lo' ? state.hi : state.lo;
      choose(Math.min(fixed, to), Math.max(fixed, to));
      if ((drag.end === 'lo') === (to > fixed) && to !== fixed) drag.end = drag.end === 'lo' ? 'hi' : 'lo';
    } else choose(Math.min(drag.from, to), Math.max(drag.from, to));
  });
  models.addEventListener('pointerup', (event) => {
    if (drag && !drag.moved) {
      const at = point(event), found = nearest(at.left, at.top, event.pointerType === 'touch' ? 28 : 16);
      if (found) show(found); else leave();
    }
    drag = null;
  });
  models.addEventListener('pointercancel', () => { drag = null; });
  models.addEventListener('pointerleave', (event) => { if (event.pointerType === 'mouse' && !drag) leave(); });
  models.addEventListener('keydown', (event) => {
    const end = ['lo', 'hi'].find((id) => $(id) === event.target);
    if (event.key === 'Escape') leave();
    else if (end) {
      const step = (x.most - x.least) / 100;
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
      let to = by === undefined ? { Home: x.least, End: x.most }[event.key] : Math.round(state[end] + by * step);
      if (to === undefined) return;
      to = Math.min(x.most, Math.max(x.least, to));
      if (end === 'lo') choose(Math.min(to, state.hi), state.hi); else choose(state.lo, Math.max(to, state.lo));
    } else if (['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'Home', 'End', 'PageUp', 'PageDown'].includes(event.key)) walk(event.key);
    else return;
    event.preventDefault();
  });
  models.addEventListener('focusout', (event) => { if (!models.contains(event.relatedTarget)) leave(); });
  for (const input of [inputs.from, inputs.to, inputs.strata]) input.addEventListener('input', typed);
  inputs.given.addEventListener('change', () => reset(inputs.given.value));
  $('controls').addEventListener('reset', (event) => { event.preventDefault(); reset(state.given); });
  $('controls').addEventListener('submit', (event) => event.preventDefault());

  $('unexplored').hidden = true;
  $('explore').hidden = false;
  reset(about.given);
  new ResizeObserver(() => { paint(); leave(); }).observe(models);
  addEventListener('beforeprint', paint);
  repaints.push(paint);
  globalThis.edfkit = state; // what is shown, for tests and for the curious
}

if ($('about')) explore();
