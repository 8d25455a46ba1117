// Which of two spaces is better, and by how much, with intervals: see edfkit/stats/adjusted.py, edfkit/stats/special.py.

const MOST_PAIRS = 20_000_000, TAME = 0.1;

// The logarithm of the gamma function, by Stirling's series from 15 on.
function logGamma(x) {
  let below = 0;
  for (; x < 15; x += 1) below += Math.log(x);
  const y = 1 / (x * x);
  const series = (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y * (1 / 1188 - y * (691 / 360360)))))) / x;
  return (x - 0.5) * Math.log(x) - x + Math.log(2 * Math.PI) / 2 + series - below;
}

// The regularised incomplete beta function I_x(a, b), by a continued fraction.
function betaFraction(a, b, x) {
  if (x === 0) return 0;
  const logBeta = logGamma(a + 1) + logGamma(b) - logGamma(a + b);
  let c = 1, d = 1 / (1 - ((a + b) * x) / (a + 1)), factor = 0;
  let value = d * Math.exp(a * Math.log(x) + b * Math.log1p(-x) - logBeta);
  for (let m = 1; Math.abs(factor - 1) > 2e-15; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    c = 1 + even / c; d = 1 / (1 + even * d);
    factor = c * d;
    c = 1 + odd / c; d = 1 / (1 + odd * d);
    factor *= c * d;
    value *= factor;
  }
  return value;
}
const betaShare = (a, b, x) => (x > (a + 1) / (a + b + 2) ? 1 - betaFraction(b, a, 1 - x) : betaFraction(a, b, x));
const studentTail = (t, df) => betaShare(df / 2, 0.5, df / (df + t * t)); // P(|T| >= t)

// The t with P(|T| >= t) = p, by Newton's steps where they stay inside, else by halving.
function studentQuantile(p, df) {
  let high = 1, low = 0;
  while (studentTail(high, df) > p) high *= 2;
  let t = high / 2;
  const scale = logGamma((df + 1) / 2) - logGamma(df / 2) - 0.5 * Math.log(df * Math.PI);
  while (high - low > 1e-13 * high) {
    const excess = studentTail(t, df) - p;
    if (excess > 0) low = t; else high = t;
    const step = t + excess / (2 * Math.exp(scale - ((df + 1) / 2) * Math.log1p((t * t) / df)));
    if (Math.abs(step - t) < 1e-13 * t) return step;
    t = low < step && step < high ? step : (low + high) / 2;
  }
  return t;
}

// Sums of squares over the units of A and of B: what each unit adds, its rows together.
function squaresOfUnits(s, scaled) {
  const of = new Float64Array(s.units), isA = new Uint8Array(s.units), found = [0, 0];
  s.unit.forEach((unit, i) => { of[unit] += s.size[i] * scaled[i]; isA[unit] = s.first[i]; });
  of.forEach((sum, unit) => { found[isA[unit] ? 0 : 1] += sum * sum; });
  return found;
}

// Degrees of freedom of a variance, from what A and what B add to it (Satterthwaite).
function freedom(s, squares) {
  if (s.paired) return s.shares.length - 1;
  const free = [s.unitsA, s.unitsB].map((units) => (
    Math.max(1 / s.shares.reduce((sum, share, k) => sum + (share * share) / units[k], 0) - 1, 1e-9)
  ));
  const [a, b] = squares;
  return a || b ? (a + b) ** 2 / ((a * a) / free[0] + (b * b) / free[1]) : free[0] + free[1];
}

// The sum of squares over pairs of units, of which some have several rows.
function pairsOfUnits(s, prob) {
  const many = s.shares.map((_, k) => {
    let a = 0;
    for (let i = s.starts[k]; i < s.starts[k + 1]; i += 1) a += s.first[i];
    return a * (s.starts[k + 1] - s.starts[k] - a);
  });
  if (many.reduce((sum, pairs) => sum + pairs, 0) > MOST_PAIRS) return 0;
  let total = 0;
  s.shares.forEach((share, k) => {
    const wins = new Map();
    for (let i = s.starts[k]; i < s.starts[k + 1]; i += 1) {
      for (let j = s.starts[k]; s.first[i] && j < s.starts[k + 1]; j += 1) {
        if (s.first[j]) continue;
        const phi = s.error[i] < s.error[j] ? 1 : s.error[i] === s.error[j] ? 0.5 : 0;
        const key = s.unit[i] * s.units + s.unit[j];
        wins.set(key, (wins.get(key) ?? 0) + phi * s.size[i] * s.size[j]);
      }
    }
    for (const won of wins.values()) total += (won - prob) ** 2 * (share / (s.unitsA[k] * s.unitsB[k])) ** 2;
  });
  return total;
}

// How often a random model of A beats one of B of about its complexity, ties half, with its interval (Wilson).
function better(s, alpha) {
  const wins = new Float64Array(s.error.length), score = new Float64Array(s.error.length);
  const won = new Float64Array(s.shares.length), tied = new Float64Array(s.shares.length);
  const ofPair = s.shares.map((share, k) => share / (s.unitsA[k] * s.unitsB[k]));
  s.shares.forEach((_, k) => {
    const units = s.unitsA[k] + s.unitsB[k];
    let beforeA = 0, beforeB = 0;
    for (let start = s.starts[k], end = start; start < s.starts[k + 1]; start = end) {
      let tiedA = 0, tiedB = 0;
      for (; end < s.starts[k + 1] && s.error[end] === s.error[start]; end += 1) {
        if (s.first[end]) tiedA += s.size[end]; else tiedB += s.size[end];
      }
      const aboveB = s.unitsB[k] - beforeB - tiedB;
      for (let i = start; i < end; i += 1) wins[i] = s.first[i] ? aboveB + tiedB / 2 : beforeA + tiedA / 2;
      score.fill(beforeA + beforeB + (tiedA + tiedB) / 2 - units / 2, start, end);
      won[k] += tiedA * aboveB;
      tied[k] += tiedA * tiedB;
      beforeA += tiedA;
      beforeB += tiedB;
    }
  });
  const prob = Math.min(1, Math.max(0, ofPair.reduce((sum, each, k) => sum + each * (won[k] + tied[k] / 2), 0)));
  const squares = squaresOfUnits(s, wins.map((one, i) => {
    const k = s.stratum[i];
    return (one - (s.first[i] ? s.unitsB[k] : s.unitsA[k]) * prob) * ofPair[k];
  }));
  const both = s.repeated ? pairsOfUnits(s, prob) : ofPair.reduce((sum, each, k) => (
    sum + each ** 2 * (won[k] + tied[k] / 4 - 2 * prob * (won[k] + tied[k] / 2) + s.unitsA[k] * s.unitsB[k] * prob ** 2)
  ), 0);
  const variance = Math.max(0, (s.overlap / (s.overlap - 1)) * (squares[0] + squares[1] - both));
  const exchanged = permutationVariance(s, score);
  let kappa = exchanged, df = freedom(s, [0, 0]);
  if (Math.min(prob, 1 - prob) >= 1e-12) {
    kappa = variance / (4 * prob * (1 - prob));
    df = freedom(s, squares);
    if (prob < TAME || prob > 1 - TAME || kappa <= 1e-15) kappa = Math.max(kappa, exchanged);
  }
  if (kappa <= 1e-15) return { estimate: prob, low: 0, high: 1 };
  const reach = 4 * kappa * studentQuantile(alpha, df) ** 2;
  const middle = (prob + reach / 2) / (1 + reach);
  const half = Math.sqrt(reach * prob * (1 - prob) + reach ** 2 / 4) / (1 + reach);
  return { estimate: prob, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

// The variance of P if labels are exchanged within strata.
function permutationVariance(s, score) {
  const of = new Float64Array(s.units), where = new Uint32Array(s.units), squares = new Float64Array(s.shares.length);
  s.unit.forEach((unit, i) => { of[unit] += s.size[i] * score[i]; where[unit] = s.stratum[i]; });
  of.forEach((sum, unit) => { squares[where[unit]] += sum * sum; });
  return s.shares.reduce((sum, share, k) => {
    const [a, b] = [s.unitsA[k], s.unitsB[k]];
    return sum + (share ** 2 * squares[k]) / ((a + b) * Math.max(a + b - 1, 1) * a * b);
  }, 0);
}

// The mean error of A minus that of B within strata, less what one common slope on the logarithm of complexity explains.
function meanDifference(s, alpha) {
  // The rows of a unit are averaged; a unit has one complexity.
  const y = new Float64Array(s.units), log = new Float64Array(s.units), first = new Uint8Array(s.units), at = new Uint32Array(s.units);
  s.unit.forEach((unit, i) => {
    y[unit] += s.size[i] * s.error[i];
    log[unit] = s.log[i];
    first[unit] = s.first[i];
    at[unit] = s.stratum[i];
  });
  const sums = (values) => {
    const found = [new Float64Array(s.shares.length), new Float64Array(s.shares.length)];
    values.forEach((value, i) => { found[first[i] ? 0 : 1][at[i]] += value; });
    return found;
  };
  const centred = (values) => {
    const [a, b] = sums(values);
    return values.map((value, i) => value - (first[i] ? a[at[i]] / s.unitsA[at[i]] : b[at[i]] / s.unitsB[at[i]]));
  };
  const dot = (a, b) => a.reduce((sum, one, i) => sum + one * b[i], 0);
  const average = (values) => values.reduce((sum, one) => sum + one, 0) / values.length;
  const gap = ([a, b]) => s.shares.reduce((sum, share, k) => sum + share * (a[k] / s.unitsA[k] - b[k] / s.unitsB[k]), 0);

  const x = centred(log), own = centred(y), scale = Math.sqrt(dot(x, x));
  let slope = 0, spread = 0;
  if (scale > 1e-9 * log.reduce((most, one) => Math.max(most, Math.abs(one)), 1) * Math.sqrt(y.length)) {
    slope = dot(x, own) / scale ** 2;
    spread = x.reduce((sum, one, i) => sum + (one * (own[i] - slope * one)) ** 2, 0) / scale ** 4;
  }
  const meanLog = average(log), meanError = average(y), left = gap(sums(log));
  // A correction of more than one standard deviation of the errors would extrapolate.
  if (Math.abs(slope * left) > Math.sqrt(average(y.map((error) => (error - meanError) ** 2)))) { slope = 0; spread = 0; }
  const free = y.map((error, i) => error - meanError - (log[i] - meanLog) * slope);
  const [sumA, sumB] = sums(free), delta = gap([sumA, sumB]);
  const ofPair = s.shares.map((share, k) => share / (s.unitsA[k] * s.unitsB[k]));
  const squares = [0, 0];
  free.forEach((one, i) => {
    const k = at[i];
    const sum = first[i] ? s.unitsB[k] * (one - delta) - sumB[k] : sumA[k] - s.unitsA[k] * (one + delta);
    squares[first[i] ? 0 : 1] += (sum * ofPair[k]) ** 2;
  });
  const [squareA, squareB] = sums(free.map((one, i) => (one - (first[i] ? delta : 0)) ** 2));
  const both = ofPair.reduce((sum, each, k) => {
    const [a, b] = [s.unitsA[k], s.unitsB[k]];
    return sum + each ** 2 * (b * squareA[k] + a * squareB[k] - 2 * (sumA[k] - a * delta) * sumB[k]);
  }, 0);
  const variance = Math.max(0, (s.overlap / (s.overlap - 1)) * (squares[0] + squares[1] - both));
  const half = studentQuantile(alpha, freedom(s, squares)) * Math.sqrt(variance + left ** 2 * spread);
  return { estimate: delta, low: delta - half, high: delta + half };
}

// What two spaces differ by over a range of complexity; nothing but the overlap where that is below 2.
function estimates(pooled, given, pair, lo, hi, number, alpha) {
  const s = sideBySide(pooled, given, pair.a, pair.b, lo, hi, number, pair.paired);
  const found = { strata: s.shares.length, overlap: s.overlap, better: null, mean: null };
  return s.overlap < 2 ? found : { ...found, better: better(s, alpha), mean: meanDifference(s, alpha) };
}
