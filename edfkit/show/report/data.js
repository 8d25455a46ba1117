// The models, unpacked: what edfkit/show/report/models.py packs.

const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f8: Float64Array };

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(stream).arrayBuffer();
}

function column(block, place) {
  const stored = new TYPES[place.as](block, place.at, place.n);
  if (!place.table) return Float64Array.from(stored);
  const table = column(block, place.table);
  return Float64Array.from(stored, (code) => table[code]);
}

function space(block, about) {
  const columns = {};
  for (const [name, place] of Object.entries(about.columns)) columns[name] = column(block, place);
  return { ...about, places: about.columns, columns };
}

// The network of a model, as lines: a list of [what, numbers by stage], or of [cell, its nodes].
function network(one, model, ops) {
  const of = (name) => {
    const { per } = one.places[name];
    return Array.from(one.columns[name].subarray(model * per, (model + 1) * per));
  };
  if (one.kind === 'stages') {
    const names = { depth: 'depth', width: 'width', bot_mul: 'bottleneck', groups: 'groups' };
    return Object.keys(names).filter((name) => one.columns[name]).map((name) => [names[name], of(name)]);
  }
  if (one.kind !== 'cells') return [];
  const op = of('op'), input = of('input'), concat = of('concat');
  const nodes = concat.length / 2;
  const cells = ['normal', 'reduce'].map((kind, cell) => {
    const added = Array.from({ length: nodes }, (_, node) => {
      const parts = [0, 1].map((operand) => {
        const at = 2 * (cell * nodes + node) + operand;
        return `${ops[op[at]]}(${input[at]})`;
      });
      return `${node + 2} = ${parts.join(' + ')}`;
    });
    const out = Array.from({ length: nodes }, (_, node) => node + 2).filter((node) => concat[cell * nodes + node - 2]);
    return [kind, [...added, `out ${out.join(', ')}`]];
  });
  return [['cells', of('depth')], ['width', of('width')], ...cells];
}
