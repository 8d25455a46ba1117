// Models in strata of complexity, and their EDFs, number by number what edfkit computes: see edfkit/stats/strata.py.

// All models in one table, in order of error once and for all; so that strata are cut and sorted without sorting.
function pool(spaces) {
  const joined = (name) => Float64Array.from(spaces.flatMap((one) => Array.from(one.columns[name])));
  const sorted = (values) => Uint32Array.from(values.keys()).sort((a, b) => values[a] - values[b] || a - b);
  const of = Uint32Array.from(spaces.flatMap((one, i) => Array(one.models).fill(i)));
  const error = joined('error'), complexities = new Map();
  // A network has a number that it shares with its like in other spaces, and a unit is a network of one space.
  const network = spaces.every((one) => one.columns.unit) ? Uint32Array.from(joined('unit')) : null;
  const numbers = new Map();
  const unit = network && network.map((number, row) => {
    const key = number * spaces.length + of[row];
    if (!numbers.has(key)) numbers.set(key, numbers.size);
    return numbers.get(key);
  });
  const complexity = (name) => {
    if (!complexities.has(name)) {
      const value = joined(name);
      if (unit) ofUnits(value, unit, numbers.size);
      complexities.set(name, { value, order: sorted(value) });
    }
    return complexities.get(name);
  };
  return { models: of.length, spaces: spaces.length, of, error, byError: sorted(error), network, unit, units: numbers.size, complexity };
}

// It is the unit that has a complexity: the mean over its rows.
function ofUnits(value, unit, units) {
  const low = new Float64Array(units).fill(Infinity), above = new Float64Array(units), rows = new Float64Array(units);
  unit.forEach((one, row) => { low[one] = Math.min(low[one], value[row]); rows[one] += 1; });
  unit.forEach((one, row) => { above[one] += value[row] - low[one]; });
  unit.forEach((one, row) => { value[row] = low[one] + above[one] / rows[one]; });
}

// The rows of some spaces within [lo, hi], in order of complexity, and of each how many units it stands for.
function within(pooled, given, wanted, lo, hi) {
  const { value, order } = pooled.complexity(given);
  const rows = order.filter((row) => wanted[pooled.of[row]] && lo <= value[row] && value[row] <= hi);
  if (!pooled.unit) return { value, rows, size: new Float64Array(rows.length).fill(1) };
  const repeats = new Float64Array(pooled.units);
  for (const row of rows) repeats[pooled.unit[row]] += 1;
  return { value, rows, size: Float64Array.from(rows, (row) => 1 / repeats[pooled.unit[row]]) };
}

// Strata of about equal size at quantiles of complexity, of each row in its order; a tie goes to that of its middle.
function cut({ value, rows, size }, number) {
  const ends = [], units = [];
  let total = 0;
  for (let start = 0, end = 0; start < rows.length; start = end) {
    let sum = 0;
    for (; end < rows.length && value[rows[end]] === value[rows[start]]; end += 1) sum += size[end];
    ends.push(end);
    units.push(Math.round(sum));
    total += Math.round(sum);
  }
  const pieces = number ?? Math.max(1, Math.round(Math.sqrt(total)));
  const stratum = new Int32Array(rows.length);
  let before = 0;
  ends.forEach((end, tie) => {
    const place = Math.floor(((before + units[tie] / 2) * pieces) / total);
    stratum.fill(Math.min(place, pieces - 1), tie ? ends[tie - 1] : 0, end);
    before += units[tie];
  });
  return stratum;
}

// The EDF of each space by the strata that all of them have, each of which weighs 1 / (sum over spaces of 1 / models).
function edfs(pooled, names, given, lo, hi, number) {
  const found = within(pooled, given, names.map(() => true), lo, hi), { rows, size } = found;
  const stratum = cut(found, number);
  const highest = stratum.reduce((most, one) => Math.max(most, one), -1) + 1;
  const units = names.map(() => new Float64Array(highest));
  rows.forEach((row, i) => { units[pooled.of[row]][stratum[i]] += size[i]; });
  const shares = Float64Array.from({ length: highest }, (_, s) => (
    units.every((of) => of[s] > 0) ? 1 / units.reduce((sum, of) => sum + 1 / of[s], 0) : 0
  ));
  const all = shares.reduce((sum, share) => sum + share, 0);
  if (!all) return { strata: 0, curves: [] };
  const weight = new Float64Array(pooled.models);
  rows.forEach((row, i) => { weight[row] = (size[i] * shares[stratum[i]]) / all / units[pooled.of[row]][stratum[i]]; });
  const curves = names.map((name) => ({ name, values: [], heights: [], models: 0, mean: 0, sum: 0, squares: 0 }));
  for (const row of pooled.byError) {
    if (!weight[row]) continue;
    const curve = curves[pooled.of[row]], error = pooled.error[row], last = curve.values.length - 1;
    curve.models += 1;
    curve.sum += weight[row];
    curve.squares += weight[row] ** 2;
    curve.mean += weight[row] * error;
    if (curve.values[last] === error) curve.heights[last] = curve.sum;
    else { curve.values.push(error); curve.heights.push(curve.sum); }
  }
  for (const curve of curves) {
    curve.heights = curve.heights.map((height) => height / curve.sum);
    const half = curve.heights.findIndex((height) => height >= 0.5 * (1 - 1e-10)); // sums are inexact
    Object.assign(curve, { mean: curve.mean / curve.sum, nEff: curve.sum ** 2 / curve.squares, min: curve.values[0], median: curve.values[half] });
  }
  return { strata: shares.reduce((many, share) => many + (share > 0), 0), curves };
}

// Two spaces in strata of their own, the rows in order of stratum and error; without those outside the overlap.
function sideBySide(pooled, given, a, b, lo, hi, number, paired) {
  const wanted = Array.from({ length: pooled.spaces }, (_, i) => i === a || i === b);
  const found = within(pooled, given, wanted, lo, hi), { value, rows, size } = found;
  const placed = paired ? Int32Array.from(rows, (row) => pooled.network[row]) : cut(found, number);
  const highest = placed.reduce((most, one) => Math.max(most, one), -1) + 1;
  const all = [new Float64Array(highest), new Float64Array(highest)];
  rows.forEach((row, i) => { all[Number(pooled.of[row] === b)][placed[i]] += size[i]; });
  const kept = Array.from(all[0].keys()).filter((s) => all[0][s] > 0 && all[1][s] > 0);
  const [unitsA, unitsB] = all.map((of) => Float64Array.from(kept, (s) => of[s]));
  const overlaps = unitsA.map((of, s) => (of * unitsB[s]) / (of + unitsB[s]));
  const overlap = overlaps.reduce((sum, one) => sum + one, 0);
  const numbered = new Int32Array(highest).fill(-1);
  kept.forEach((s, at) => { numbered[s] = at; });

  const stratumOf = new Int32Array(pooled.models).fill(-1), sizeOf = new Float64Array(pooled.models);
  const next = new Uint32Array(kept.length + 1);
  let positive = true;
  rows.forEach((row, i) => {
    positive &&= value[row] > 0;
    stratumOf[row] = numbered[placed[i]];
    sizeOf[row] = size[i];
    if (stratumOf[row] >= 0) next[stratumOf[row] + 1] += 1;
  });
  for (let s = 0; s < kept.length; s += 1) next[s + 1] += next[s];
  const starts = next.slice(), order = new Uint32Array(next[kept.length]);
  for (const row of pooled.byError) if (stratumOf[row] >= 0) { order[next[stratumOf[row]]] = row; next[stratumOf[row]] += 1; }

  const numbers = new Map();
  const unit = Uint32Array.from(order, (row, i) => {
    if (!pooled.unit) return i;
    if (!numbers.has(pooled.unit[row])) numbers.set(pooled.unit[row], numbers.size);
    return numbers.get(pooled.unit[row]);
  });
  return {
    paired,
    starts,
    unitsA,
    unitsB,
    overlap,
    shares: overlaps.map((one) => one / overlap),
    repeated: pooled.unit !== null,
    units: pooled.unit ? numbers.size : order.length,
    unit,
    error: Float64Array.from(order, (row) => pooled.error[row]),
    log: Float64Array.from(order, (row) => (positive ? Math.log(value[row]) : value[row])),
    first: Uint8Array.from(order, (row) => pooled.of[row] === a),
    size: Float64Array.from(order, (row) => sizeOf[row]),
    stratum: Int32Array.from(order, (row) => stratumOf[row]),
  };
}
