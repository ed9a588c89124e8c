// Charts read the table behind them: one truth. Each figure[data-chart] holds a
// table whose cells carry the exact value in data-v.
(() => {
  'use strict';
  const plots = new Map();

  const read = (table) => [...table.tBodies[0].rows].map((r) => [...r.cells].map((c) => {
    const v = c.dataset.v;
    return v === undefined || v === '' ? null : Number(v);
  }));
  const columns = (rows, order) => order.map((i) => rows.map((r) => r[i] ?? null));
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // hatch is the pattern of the shadow: thin diagonal lines.
  const hatch = (ctx, colour) => {
    const c = document.createElement('canvas');
    const d = 8 * devicePixelRatio;
    c.width = c.height = d;
    const g = c.getContext('2d');
    g.strokeStyle = colour;
    g.lineWidth = devicePixelRatio;
    g.beginPath();
    for (const o of [-d, 0, d]) { g.moveTo(o, d); g.lineTo(o + d, 0); }
    g.stroke();
    return ctx.createPattern(c, 'repeat');
  };

  const dollars = (v) => {
    if (v === null || v === undefined) return '–';
    const a = Math.abs(v);
    return (v < 0 ? '−' : '') + '$' + a.toLocaleString('en-US', a === 0 ? {} : a < 0.1 ? { maximumSignificantDigits: 2 } : a < 100 ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : { maximumFractionDigits: 0 });
  };
  // digits are the decimals that a step between labels needs: fewer would write
  // neighbours alike.
  const digits = (step) => {
    let d = 0;
    while (d < 9 && Math.abs(step * 10 ** d - Math.round(step * 10 ** d)) > 1e-6) d++;
    return d;
  };
  const tick = (v, step) => {
    const d = digits(step);
    return (v < 0 ? '−' : '') + '$' + Math.abs(v).toLocaleString('en-US', { minimumFractionDigits: d > 0 ? Math.max(2, d) : 0, maximumFractionDigits: d > 0 ? Math.max(2, d) : 0 });
  };
  const tickPoints = (v, step) => (v * 100).toFixed(digits(step * 100)).replace(/^-(?=0*\.?0*$)/, '').replace('-', '−') + ' pp';
  const ticks = (format) => (u, vs) => vs.map((v) => format(v, vs.length > 1 ? vs[1] - vs[0] : v));
  const points = (v) => (v === null ? '–' : (v * 100).toFixed(1).replace('-', '−') + ' pp');
  const day = (t) => new Date(t * 1000).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });

  const axes = (format, xTick) => {
    const common = { stroke: css('--ink2'), font: '12px ' + getComputedStyle(document.body).fontFamily, ticks: { show: false } };
    return [
      { ...common, size: 32, gap: 10, space: 64, grid: { show: false }, border: { show: true, stroke: css('--line2'), width: 1 }, ...(xTick ? { values: ticks(xTick) } : { values: (u, ts) => ts.map(day), incrs: [1, 2, 3, 7, 14, 28].map((d) => d * 86400) }) },
      { ...common, size: (u, vs) => Math.max(60, 18 + 7 * Math.max(0, ...(vs ?? []).map((v) => v.length))), space: 40, grid: { stroke: css('--line'), width: 1 }, values: ticks(format) },
    ];
  };
  const line = (label, extra) => ({ label, points: { show: false }, width: 2, stroke: css('--ink'), spanGaps: true, ...extra });

  const kinds = {
    spend(fig, rows) {
      return {
        data: columns(rows, [0, 1, 2]), format: dollars, tick, names: ['spent', 'would'],
        series: [line('spent'), line('would', { stroke: css('--shadow'), dash: [6, 4] })],
        bands: [{ series: [1, 2], fill: (u) => hatch(u.ctx, css('--hatch')) }],
        range: (u, min, max) => [0, (max || 1) * 1.08],
      };
    },
    savings(fig, rows) {
      return {
        data: columns(rows, [0, 2, 1, 3, 4, 5]), format: dollars, tick, names: ['model asked for', 'spent', 'would', 'would, low', 'would, high'],
        series: [line('asked for', { width: 1, stroke: css('--line2') }), line('spent', { width: 2.5 }), line('would', { stroke: css('--shadow'), dash: [6, 4] }),
          line('low', { width: 0.5, stroke: css('--hatch') }), line('high', { width: 0.5, stroke: css('--hatch') })],
        bands: [{ series: [5, 4], fill: () => css('--band') }, { series: [1, 3], fill: (u) => hatch(u.ctx, css('--hatch')) }],
        range: (u, min, max) => [0, (max || 1) * 1.08],
      };
    },
    quality(fig, rows) {
      const margin = -Math.abs(Number(fig.dataset.margin));
      return {
        data: columns(rows, [0, 1, 2]), format: points, tick: tickPoints, names: ['mean', 'at least'], margin,
        series: [line('mean', { stroke: css('--shadow'), dash: [6, 4] }), line('lower', { width: 1.5 })],
        bands: [{ series: [1, 2], fill: () => css('--band') }],
        range: (u, min, max) => {
          // The first bounds reach to −100 pp: the picture keeps to what decides.
          const last = rows[rows.length - 1][2] ?? margin;
          const lo = Math.max(min ?? margin, Math.min(margin * 4, last * 1.3));
          const hi = Math.max(0.01, max ?? 0);
          return [lo - 0.05 * (hi - lo), hi + 0.1 * (hi - lo)];
        },
      };
    },
  };

  // frontier has the saving across and the quality upwards; what is in force is a
  // dot. Points of which no quality is known are in the table alone.
  kinds.frontier = (fig, rows) => {
    const trs = [...fig.querySelector('table').tBodies[0].rows];
    const list = rows.map((r, i) => ({ x: r[2], warm: r[3], q: r[6], lo: r[7], hi: r[8], now: trs[i].dataset.today !== undefined, label: trs[i].cells[0].textContent.trim() }))
      .filter((p) => p.q !== null && p.x !== null).sort((a, b) => a.x - b.x);
    const of = (f) => list.map(f);
    return {
      time: false, xTick: tick, labels: of((p) => p.label + '  ' + (p.warm === p.x ? dollars(p.x) : dollars(p.x) + ' with cold caches, ' + dollars(p.warm) + ' with warm ones,') + ' a month'), format: points, names: ['quality', 'low', 'high', 'today'],
      tick: tickPoints, margin: 0,
      data: [of((p) => p.x), of((p) => (p.now ? null : p.q)), of((p) => (p.now ? null : p.lo)), of((p) => (p.now ? null : p.hi)), of((p) => (p.now ? p.q : null))],
      series: [line('quality', { stroke: css('--shadow'), dash: [6, 4], points: { show: true, size: 5 } }), line('low', { width: 0.5, stroke: css('--hatch') }), line('high', { width: 0.5, stroke: css('--hatch') }),
        line('today', { width: 0, points: { show: true, size: 11, fill: css('--ink') } })],
      bands: [{ series: [3, 2], fill: () => css('--band') }],
      range: (u, min, max) => { const lo = Math.min(min ?? 0, -0.01), hi = Math.max(max ?? 0, 0.01); return [lo - 0.08 * (hi - lo), hi + 0.08 * (hi - lo)]; },
    };
  };

  // marginLine draws zero and the margin below the lines, inside the plot.
  const marginLine = (margin) => (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const [v, colour, dash] of [[0, css('--line2'), []], [margin, css('--worse'), [2, 4]]]) {
      const y = Math.round(u.valToPos(v, 'y', true)) + 0.5;
      ctx.strokeStyle = colour;
      ctx.lineWidth = (v === 0 ? 1 : 2) * devicePixelRatio;
      ctx.setLineDash(dash.map((d) => d * devicePixelRatio));
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    ctx.restore();
  };

  const tip = (kind, labels) => (u) => {
    let el = u.over.querySelector('.u-tip');
    const i = u.cursor.idx;
    if (i === null || i === undefined) { el?.remove(); return; }
    if (!el) { el = document.createElement('div'); el.className = 'u-tip'; u.over.append(el); }
    el.textContent = labels[i] + '\n' + kind.names.map((n, s) => n + '  ' + kind.format(u.data[s + 1][i])).join('\n');
    const left = u.cursor.left > u.over.clientWidth / 2 ? u.cursor.left - el.offsetWidth - 12 : u.cursor.left + 12;
    el.style.left = Math.max(0, left) + 'px';
    el.style.top = '8px';
  };

  const draw = (fig) => {
    const plot = fig.querySelector('.plot');
    const width = plot.clientWidth;
    const rows = read(fig.querySelector('table'));
    if (!width || rows.length === 0 || !kinds[fig.dataset.chart] || !window.uPlot) return;
    plots.get(plot)?.destroy();
    const kind = kinds[fig.dataset.chart](fig, rows);
    // One value is no line: it is drawn as a point.
    kind.series.forEach((s, i) => {
      if (kind.data[i + 1].filter((v) => v !== null).length === 1) s.points = { size: 8, fill: s.stroke, ...s.points, show: true };
    });
    const labels = kind.labels ?? [...fig.querySelector('table').tBodies[0].rows].map((r) => r.cells[0].textContent.trim());
    plot.setAttribute('role', 'img');
    plot.setAttribute('aria-label', fig.dataset.label + '. The table behind the chart holds the figures.');
    const u = new uPlot({
      width, height: plot.clientHeight || 240, axes: axes(kind.tick, kind.xTick), series: [{}, ...kind.series], bands: kind.bands,
      tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), 'UTC'),
      scales: { x: kind.time === false ? { time: false } : { time: true, range: (v, a, b) => (a === b ? [a - 43200, b + 43200] : [a, b]) }, y: { range: kind.range } },
      legend: { show: false }, cursor: { y: false, points: { size: 7 }, drag: { setScale: false } }, padding: [8, 24, 0, 0],
      hooks: { setCursor: [tip(kind, labels)], drawAxes: kind.margin === undefined ? [] : [marginLine(kind.margin)] },
    }, kind.data, plot);
    plots.set(plot, u);
    fig.dataset.drawn = String(rows.length);
  };

  const all = () => {
    for (const [plot, u] of plots) if (!plot.isConnected) { u.destroy(); plots.delete(plot); }
    document.querySelectorAll('figure[data-chart]').forEach(draw);
  };

  let timer;
  addEventListener('resize', () => { clearTimeout(timer); timer = setTimeout(all, 120); });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', all);
  document.addEventListener('htmx:after:swap', all);
  document.addEventListener('toggle', (e) => { if (e.target.open && e.target.querySelector?.('figure[data-chart]')) all(); }, true);
  all();
})();
