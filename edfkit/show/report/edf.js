// EDFs given complexity, number by number what edfkit computes: see edfkit/stats/bins.py, edfkit/stats/edf.py.

const ROUND_OFF = 1e-10;

function edges(lo, hi, bins) {
  const step = (hi - lo) / bins;
  const found = Float64Array.from({ length: bins + 1 }, (_, i) => i * step + lo);
  found[bins] = hi;
  return found;
}

// Of each model the bin, or -1 outside [lo, hi]: one on an inner edge belongs to the bin above it, one at hi to the last.
function binOf(complexity, ends) {
  const bins = ends.length - 1, lo = ends[0], hi = ends[bins];
  return Int32Array.from(complexity, (value) => {
    if (value < lo || value > hi) return -1;
    if (value === hi) return bins - 1;
    let low = 0, high = bins;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (ends[middle] <= value) low = middle; else high = middle;
    }
    return low;
  });
}

function countBins(index, bins) {
  const counts = new Float64Array(bins);
  for (const bin of index) if (bin >= 0) counts[bin] += 1;
  return counts;
}

// The largest number of bins, up to `most`, that leaves none empty in any space; 0 if not even one does.
function mostBins(complexities, lo, hi, most) {
  for (const models of complexities) {
    const inside = models.filter((value) => lo <= value && value <= hi).sort();
    let gap = 0, before = lo;
    for (const value of [...inside, hi]) { gap = Math.max(gap, value - before); before = value; }
    most = Math.min(most, Math.max(1, inside.length), gap > 0 ? Math.floor((2 * (hi - lo)) / gap) + 1 : 1);
  }
  for (let bins = most; bins > 0; bins -= 1) {
    const ends = edges(lo, hi, bins);
    if (complexities.every((models) => countBins(binOf(models, ends), bins).every((count) => count > 0))) return bins;
  }
  return 0;
}

// Ten digits, as Python writes them by %.10g.
function digits(value) {
  const [mantissa, exponent] = value.toExponential(9).split('e').map(Number);
  if (exponent >= -4 && exponent < 10) return String(Number(value.toPrecision(10)));
  return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
}
const named = (bins) => `${bins} ${bins === 1 ? 'bin' : 'bins'}`;

// What is wrong with a range and a number of bins, and what would work; nothing if it works.
function advice(names, complexities, lo, hi, bins) {
  const ends = edges(lo, hi, bins);
  const found = [];
  complexities.forEach((models, i) => {
    const counts = countBins(binOf(models, ends), bins);
    const empty = [];
    counts.forEach((count, bin) => { if (count === 0) empty.push(`${digits(ends[bin])} to ${digits(ends[bin + 1])}`); });
    const more = empty.length > 3 ? ` and ${empty.length - 3} more` : '';
    if (empty.length) found.push(`${names[i]} has no model in ${empty.slice(0, 3).join(', ')}${more}`);
  });
  if (!found.length) return '';
  const use = [];
  const fewer = mostBins(complexities, lo, hi, bins);
  if (fewer) use.push(`use ${named(fewer)}`);
  const least = (models) => models.reduce((a, b) => Math.min(a, b));
  const largest = (models) => models.reduce((a, b) => Math.max(a, b));
  const innerLo = Math.max(...complexities.map(least)), innerHi = Math.min(...complexities.map(largest));
  if (innerLo < innerHi) {
    const inner = mostBins(complexities, innerLo, innerHi, bins);
    if (inner > fewer) use.push(`use the range ${innerLo} to ${innerHi} with ${named(inner)}`);
  }
  const instead = use.join(', or ') || 'compare without normalising (given none)';
  return `With ${named(bins)} over the complexity range ${lo} to ${hi}, ${found.join('; ')}: ${instead}.`;
}

// The EDF of a space over a range without empty bins, with its summary.
function normalised(one, given, lo, hi, bins) {
  const index = binOf(one.columns[given], edges(lo, hi, bins));
  const counts = countBins(index, bins);
  const mass = new Float64Array(one.values.length);
  let models = 0, squares = 0, mean = 0;
  index.forEach((bin, model) => {
    if (bin < 0) return;
    const weight = 1 / (bins * counts[bin]);
    models += 1;
    squares += weight * weight;
    mean += weight * one.columns.error[model];
    mass[one.steps[model]] += weight;
  });
  const values = [], heights = [];
  let sum = 0;
  mass.forEach((weight, place) => {
    if (weight === 0) return;
    sum += weight;
    values.push(one.values[place]);
    heights.push(sum);
  });
  for (let i = 0; i < heights.length; i += 1) heights[i] /= sum;
  const median = values[heights.findIndex((height) => height >= 0.5 * (1 - ROUND_OFF))];
  return { name: one.name, values, heights, models, nEff: (sum * sum) / squares, min: values[0], median, mean: mean / sum };
}

// The largest distance of two EDFs.
function distance(a, b) {
  let i = 0, j = 0, found = 0;
  while (i < a.values.length || j < b.values.length) {
    const at = Math.min(a.values[i] ?? Infinity, b.values[j] ?? Infinity);
    if (a.values[i] === at) i += 1;
    if (b.values[j] === at) j += 1;
    const gap = (i ? a.heights[i - 1] : 0) - (j ? b.heights[j - 1] : 0);
    found = Math.max(found, Math.abs(gap));
  }
  return found;
}
