// The rooms and the one way data flows: kernel -> proxy -> recorder -> ledger -> chain.
const bottom = '^(firewall|ca|policies|daemon/ledger|daemon/vault|daemon/base)/'
const rule = (name, from, to) => ({ name, severity: 'error', from, to })
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
      { path: '^(daemon|firewall|ca|policies|cli|test)/', pathNot: '^daemon/(base|vault)/' },
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
      'bottom-rooms-stay-below',
      { path: bottom },
      { path: '^daemon/(proxy|recorder|supervisor|chain-writer|admin|config)/' },
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.cjs', '.json'] },
  },
}
