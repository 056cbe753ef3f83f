/** What doctor makes of other programs' rules and of the machine's resolver. */
import t from 'tap'
import { foreignRules, legacyRules } from '../../cli/doctor/foreign-rules.ts'
import { resolvedCheck } from '../../cli/doctor/resolved.ts'

const port = (right: unknown, protocol = 'tcp', op = '==') => ({
  match: { op, left: { payload: { protocol, field: 'dport' } }, right },
})
const listing = (expr: unknown[], table = 'raw') =>
  JSON.stringify({
    nftables: [
      { metainfo: { version: '1.0.6' } },
      { table: { family: 'ip', name: table, handle: 1 } },
      { rule: { family: 'ip', table, chain: 'output', handle: 2, expr } },
    ],
  })

t.test('rules that take connections away before the gateway are named by their table', async (t) => {
  for (const expr of [
    [{ notrack: null }],
    [port(443), { notrack: null }],
    [port({ set: [22, { range: [80, 90] }] }), { notrack: null }],
    [port({ range: [1, 1024] }), { notrack: null }],
    [port(53, 'tcp', '!='), { notrack: null }],
    [{ xt: { type: 'target', name: 'CT' } }],
  ])
    t.match(foreignRules(listing(expr)), [
      {
        check: 'rules of the table ip raw',
        result: 'attention',
        detail: /chain output .*notrack/,
        remedy: /table ip raw/,
      },
    ])
  t.match(foreignRules(listing([{ queue: { num: 0 } }])), [{ detail: /another program/ }])
  t.match(foreignRules(listing([{ xt: { type: 'target', name: 'NFQUEUE' } }])), [
    { detail: /another program/ },
  ])
})

t.test('what can’t matter to calls of providers is passed over', async (t) => {
  for (const expr of [
    [port(53), { notrack: null }],
    [port({ set: [53, 8443] }), { notrack: null }],
    [port(443, 'udp'), { notrack: null }],
    [{ counter: { packets: 1, bytes: 2 } }, { drop: null }],
    [port(443), { dnat: { addr: '10.0.0.1' } }],
    [{ xt: null }],
    [{ xt: { type: 'match', name: 'CT' } }],
    ['odd', 7, null],
  ])
    t.same(foreignRules(listing(expr)), [], JSON.stringify(expr))
  t.same(foreignRules(listing([{ notrack: null }], 'aa_redirect')), [], 'ours')
  t.throws(() => foreignRules('{}'))
})

t.test('tables of iptables-legacy are read too', async (t) => {
  const saved = (line: string) => legacyRules('ip raw', `*raw\n:OUTPUT ACCEPT [0:0]\n${line}\nCOMMIT\n`)
  t.match(saved('-A OUTPUT -p tcp -j CT --notrack'), [
    { check: 'rules of the table ip raw (iptables-legacy)', detail: /notrack/ },
  ])
  t.match(saved('-A OUTPUT -p tcp -m multiport --dports 25,400:450 -j NOTRACK'), [{ result: 'attention' }])
  t.match(saved('-A OUTPUT -j NFQUEUE --queue-num 1'), [{ detail: /another program/ }])
  t.same(saved('-A OUTPUT -p tcp --dport 53 -j NOTRACK'), [])
  t.same(saved('-A OUTPUT -j ACCEPT'), [])
})

t.test('systemd-resolved under TLS stands in the way of a policy that refuses that', async (t) => {
  const off = '[Resolve]\n#DNSOverTLS=yes\n'
  const on = '[Resolve]\nDNSOverTLS=yes\n'
  t.match(resolvedCheck([off], 'refuse'), { result: 'held' })
  t.match(resolvedCheck([off, on], 'refuse'), { result: 'attention', remedy: /DNSOverTLS=no/ })
  t.match(resolvedCheck([on, '[Resolve]\nDNSOverTLS=opportunistic\n'], 'refuse'), { result: 'held' })
  t.match(resolvedCheck([on], 'pass'), { result: 'held', detail: /under TLS/ })
})
