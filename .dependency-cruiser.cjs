// The rooms and the one way data flows: kernel -> proxy -> recorder -> ledger -> chain.
const bottom = '^(firewall|ca|policies|daemon/ledger|daemon/vault|daemon/base)/'
const rule = (name, from, to) => ({ name, severity: 'error', from, to })
/**
 * What runs without Node, by itself and in a browser: the library's entries and the page reach nothing else.
 * `#platform` resolves to the portable one here, as for them.
 */
const portable = [
  'daemon/base/(errors|printable)',
  'daemon/ledger/(batch-path|batch-proof|checkpoint|cosignature|encoding|errors|key-history|merkle|merkle-path|note|proof|tile-path)',
  'daemon/ledger/platform/(portable|signing-key)',
  'daemon/receipt/(anchor-finding|findings|findings-text|held-proof|held-record|key-line|receipt|receipt-error|record-rows|verify|witness-finding)',
  'daemon/recorder/(derived|outcomes|record|record-parts)',
]
const withoutNode = `^(${portable.map((file) => `${file}\\.ts$`).join('|')}|node_modules/(zod|canonicalize|@noble/(curves|hashes))/)`
const page = '^dashboard/verification-page/page/'
module.exports = {
  forbidden: [
    rule('no-circular', {}, { circular: true }),
    rule(
      'base-stands-alone',
      { path: '^daemon/base/' },
      { path: '^(daemon|firewall|ca|policies|cli|test)/', pathNot: '^daemon/base/' },
    ),
    rule(
      'firewall-imports-nothing-above',
      { path: '^firewall/' },
      { path: '^(daemon|ca|policies|cli|test)/', pathNot: '^daemon/base/' },
    ),
    rule(
      'ca-imports-nothing-above',
      { path: '^ca/' },
      { path: '^(daemon|firewall|policies|cli|test)/', pathNot: '^daemon/base/' },
    ),
    rule(
      'policies-import-nothing-above',
      { path: '^policies/' },
      { path: '^(daemon|firewall|ca|cli|test)/', pathNot: '^daemon/base/' },
    ),
    rule(
      'ledger-imports-nothing-above',
      { path: '^daemon/ledger/' },
      { path: '^(daemon|firewall|ca|policies|cli|test)/', pathNot: '^daemon/(base|ledger)/' },
    ),
    rule(
      'vault-imports-nothing-above',
      { path: '^daemon/vault/' },
      {
        path: '^(daemon|firewall|ca|policies|cli|test)/',
        // A rotation of the log key is a signed note: its formats are the ledger's.
        pathNot: '^daemon/(base/|vault/|ledger/(note|key-history)[.]ts$)',
      },
    ),
    rule(
      'chain-writer-reads-only-the-ledger',
      { path: '^daemon/chain-writer/' },
      { path: '^daemon/(proxy|recorder|supervisor|admin)/' },
    ),
    rule(
      'recorder-does-not-know-the-proxy',
      { path: '^daemon/recorder/' },
      { path: '^daemon/(proxy|supervisor)/' },
    ),
    rule(
      'proxy-never-touches-ledger-or-chain',
      { path: '^daemon/proxy/' },
      { path: '^daemon/(ledger|chain-writer|vault|supervisor)/' },
    ),
    rule(
      'wire-formats-stand-alone',
      { path: '^daemon/wire/' },
      { path: '^(daemon|firewall|ca|policies|cli|test)/', pathNot: '^daemon/(base|wire)/' },
    ),
    rule(
      'sensor-is-independent-of-the-proxy',
      { path: '^daemon/(sensor|dns-guard)/' },
      { path: '^daemon/(proxy|recorder|ledger|chain-writer|vault|supervisor|config)/' },
    ),
    rule(
      'product-never-imports-tests',
      { path: '^(daemon|firewall|ca|policies)/' },
      { path: '^(test|cli)/' },
    ),
    rule(
      'library-runs-without-node',
      { path: '^library/(ledger|receipt|record)\\.ts$' },
      { reachable: true, pathNot: withoutNode },
    ),
    rule(
      'page-runs-without-node',
      { path: page },
      { reachable: true, pathNot: [withoutNode, page, '^daemon/chain-writer/networks\\.json$'] },
    ),
    rule(
      'library-is-for-others',
      { path: '^(daemon|firewall|ca|policies|cli|installers)/' },
      { path: '^(library|dashboard)/' },
    ),
    rule(
      'bottom-rooms-stay-below',
      { path: bottom },
      { path: '^daemon/(proxy|recorder|supervisor|chain-writer|admin|config)/' },
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // Whole root file systems lie there.
    exclude: { path: '^test/[.]cache' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.cjs', '.json'] },
  },
}
