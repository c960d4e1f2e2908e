/// One column on a phone, two beside each other on a screen; dark where the reader's system is.
///
/// Plots are drawn in units of a page 360 wide and grow with the page; their labels are made smaller in the same
/// measure, so that they stay as large as the text. Lines differ in their dashes as well as in their colours.
enum StyleSheet {
    static let text = """
        :root {
          color-scheme: light dark;
          --page: #fdfdfc; --ink: #1b1f24; --soft: #59626e; --rule: #d9dde2; --grid: #e7eaee; --raised: #f4f5f6;
          --s1: #1f5fae; --s2: #b3520a; --s3: #0b7268; --s4: #93307a; --limit: #b3261e; --good: #14713b;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --page: #14171b; --ink: #e6e9ed; --soft: #9ba5b1; --rule: #343b44; --grid: #272d35; --raised: #1c2127;
            --s1: #79b4ff; --s2: #f2a65e; --s3: #57cdbd; --s4: #e890d0; --limit: #ff8a80; --good: #6fd398;
          }
        }
        * { box-sizing: border-box; }
        body {
          margin: 0; background: var(--page); color: var(--ink);
          font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
          font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%;
        }
        main { max-width: 70rem; margin: 0 auto; padding: 1.25rem 1rem 4rem; }
        h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; letter-spacing: -.01em; }
        h2 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 .35rem; }
        section { margin-top: 2.25rem; padding-top: 1.5rem; border-top: 1px solid var(--rule); }
        p { margin: 0 0 .75rem; max-width: 44rem; }
        .verdict { font-weight: 600; }
        .good { color: var(--good); font-weight: 600; }
        .bad { color: var(--limit); font-weight: 600; }
        .empty { color: var(--soft); font-style: italic; }
        dl { display: grid; grid-template-columns: minmax(6rem, 12rem) 1fr; gap: .3rem 1rem; margin: 0; }
        dt { color: var(--soft); }
        dd { margin: 0; overflow-wrap: anywhere; }
        .pairs { display: grid; grid-template-columns: minmax(0, 1fr); gap: .5rem 3rem; align-items: start; }
        figure { margin: 0 0 .75rem; min-width: 0; }
        figcaption { font-weight: 600; margin-bottom: .4rem; }
        .summary { color: var(--soft); font-size: .9rem; margin-top: .35rem; }
        svg { display: block; width: 100%; height: auto; overflow: visible; }
        svg text { fill: var(--ink); font-size: 12px; }
        svg .label { fill: var(--soft); }
        svg .strong { fill: var(--ink); font-weight: 600; }
        .grid { stroke: var(--grid); stroke-width: 1; }
        .axis { stroke: var(--soft); stroke-width: 1; }
        .limit { stroke: var(--limit); stroke-width: 1.5; stroke-dasharray: 4 3; }
        .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
        .reach { stroke-width: 1; opacity: .45; }
        .s1 { --own: var(--s1); } .s2 { --own: var(--s2); } .s3 { --own: var(--s3); } .s4 { --own: var(--s4); }
        .s5 { --own: var(--soft); }
        .curve, .reach { stroke: var(--own); }
        .bar, .dot { fill: var(--own); }
        .dot { fill-opacity: .75; }
        .curve.s2 { stroke-dasharray: 6 4; } .curve.s3 { stroke-dasharray: 1 4; stroke-width: 2.4; }
        .curve.s4 { stroke-dasharray: 8 3 1 3; }
        .panels .curve { stroke-dasharray: none; stroke-width: 1.6; }
        table { border-collapse: collapse; width: 100%; max-width: 52rem; margin: 0 0 1.25rem; font-size: .92rem; }
        caption { text-align: left; font-weight: 600; padding-bottom: .35rem; }
        th, td { text-align: right; padding: .32rem .4rem; border-bottom: 1px solid var(--rule); font-weight: 400; }
        td { white-space: nowrap; }
        td.bad { white-space: normal; }
        th:first-child { text-align: left; padding-left: 0; overflow-wrap: break-word; }
        td:last-child, th:last-child { padding-right: 0; }
        thead th { color: var(--soft); vertical-align: bottom; }
        tbody tr:hover { background: var(--raised); }
        @media (max-width: 30rem) {
          table { font-size: .8rem; }
          th, td { padding: .32rem .22rem; }
          dl { grid-template-columns: 1fr; gap: 0; }
          dd { margin-bottom: .5rem; }
        }
        @media (min-width: 48rem) {
          .pairs { grid-template-columns: repeat(2, minmax(0, 1fr)); }
          svg text { font-size: 9px; }
        }
        @media print { section { break-inside: avoid; } }
        """
}
