import t from 'tap'
import type { Enforcement } from '../../firewall/enforcement.ts'
import {
  addressChange,
  removeFenceScript,
  renderAddressChange,
  renderBeat,
  renderBootFence,
  renderCuts,
  renderFence,
  renderOwned,
} from '../../firewall/nftables.ts'

const e: Enforcement = {
  fence: 'providers',
  redirect: 'ports',
  subjects: 'everyone',
  exempt: { uids: [], gids: [], cgroups: [] },
  allowed: [],
  localPorts: [],
  dnsLogGroup: 72,
  resolversRefused: false,
  uplinks: ['eth0'],
  leaseMs: 10_000,
  proxyUids: [1002, 7],
  ports: [443, 80],
  addresses4: ['203.0.113.20', '203.0.113.10'],
  addresses6: ['2001:db8::2', '2001:db8::1'],
  bridges: ['docker0', 'br-*'],
  redirectPort: 18443,
  guardedPorts: [
    { port: 18545, uids: [990, 991] },
    { port: 18546, uids: [] },
  ],
  logGroup: 71,
}
const reversed = (list: readonly string[]) => [...list].reverse()
const shuffled: Enforcement = {
  ...e,
  proxyUids: [7, 1002, 7],
  ports: [80, 443],
  addresses4: reversed(e.addresses4),
  addresses6: reversed(e.addresses6),
  bridges: reversed(e.bridges),
  guardedPorts: [...e.guardedPorts].reverse(),
}
const bare: Enforcement = {
  ...e,
  proxyUids: [],
  ports: [],
  addresses4: [],
  addresses6: [],
  bridges: [],
  guardedPorts: [],
}

t.test('says the same whatever the order of its input', async (t) => {
  t.equal(renderFence(shuffled), renderFence(e))
  t.equal(renderOwned(shuffled), renderOwned(e))
})

t.test('writes one command a line and nothing else', async (t) => {
  for (const script of [
    renderFence(e),
    renderOwned(e),
    removeFenceScript(),
    renderFence(bare),
    renderOwned(bare),
  ]) {
    t.ok(script.endsWith('\n'))
    for (const line of script.trim().split('\n'))
      t.match(line, /^(add|flush|delete) (table|set|chain|rule|counter|element) (inet|netdev) aa_/)
  }
})

t.test('writes no empty list, which nft refuses', async (t) => {
  for (const script of [renderFence(bare), renderOwned(bare)]) t.notMatch(script, /\{ *\}/)
})

t.test('replaces a fence in place: what it removes are rules and elements, not chains', async (t) => {
  // The chain that hangs on the devices is the one exception, and stands anew in the same transaction.
  t.same(renderFence(e).match(/^delete .*/gm), ['delete chain netdev aa_fence egress'])
  t.match(renderFence(e), /^flush table inet aa_fence$/m)
  t.ok(renderFence(e).indexOf('flush table') < renderFence(e).indexOf('add rule'))
})

t.test('keeps the exempt users, and only those, out of the redirect', async (t) => {
  const script = renderOwned(e)
  t.match(script, 'add element inet aa_redirect proxy_uids { 7, 1002 }')
  const rules = script.split('\n').filter((line) => line.startsWith('add rule inet aa_redirect sent '))
  t.match(rules[0], 'meta skuid @proxy_uids accept')
  for (const line of script.split('\n').filter((each) => each.includes(' nat_output ')))
    t.match(line, / goto sent$|^add chain /, 'nothing is judged before')
  t.notMatch(script, /meta mark/)
  t.match(script, 'tcp dport { 80, 443 } counter name redirected redirect to :18443')
})

t.test('judges the sender before it lets an established connection pass', async (t) => {
  const script = renderFence(e)
  t.ok(
    script.indexOf('meta skuid != @exempt_uids goto refuse') < script.indexOf('ct state established accept'),
  )
})

t.test('shuts a guarded port that has no users to everybody', async (t) => {
  const script = renderFence(e)
  t.match(script, 'tcp dport 18545 fib daddr type local meta skuid != { 990, 991 } counter')
  t.match(script, 'tcp dport 18546 fib daddr type local counter')
})

t.test('renders only the addresses that change, in both families', async (t) => {
  const change = addressChange(
    { addresses4: ['1.1.1.1', '2.2.2.2'], addresses6: ['::2'] },
    { addresses4: ['2.2.2.2', '3.3.3.3'], addresses6: ['::2'] },
  )
  const lines = renderAddressChange('aa_redirect', change, { certain: true, egress: true }).trim().split('\n')
  t.same(lines, [
    'add element inet aa_redirect llm4 { 3.3.3.3 }',
    'delete element inet aa_redirect llm4 { 1.1.1.1 }',
    'add element inet aa_redirect llm4_carried { ::3.3.3.3 }',
    'delete element inet aa_redirect llm4_carried { ::1.1.1.1 }',
    'add element netdev aa_redirect llm4 { 3.3.3.3 }',
    'delete element netdev aa_redirect llm4 { 1.1.1.1 }',
  ])
  // What may not be there is put in first: taking out what isn't there is an error.
  const unsure = renderAddressChange('aa_fence', change, { certain: false, egress: false })
  t.ok(unsure.indexOf('add element inet aa_fence llm4 { 1.1.1.1 }') < unsure.indexOf('delete element'))
  const none = addressChange(
    { addresses4: ['1.1.1.1'], addresses6: [] },
    { addresses4: ['1.1.1.1'], addresses6: [] },
  )
  t.equal(renderAddressChange('aa_fence', none, { certain: true, egress: true }), '')
})

t.test('an allowance for nobody opens nothing', async (t) => {
  const wide: Enforcement = { ...e, fence: 'everything' }
  const nobody = { protocol: 'udp', ports: [1123], uids: [] } as const
  t.notMatch(renderFence({ ...wide, allowed: [nobody] }), /1123/)
  t.match(renderFence({ ...wide, allowed: [{ ...nobody, uids: [1400] }] }), /1123/)
})

t.test('only a fence around everything looks for calls that nobody made', async (t) => {
  for (const render of [renderFence, renderOwned]) {
    t.notMatch(render(e), /arrived|forged log/)
    const script = render({ ...e, fence: 'everything' })
    t.match(script, /chain inet aa_\w+ arrived \{ type filter hook prerouting/)
    // Answers pass only in the machine's own name.
    t.match(script, /outside ct direction reply ct state established,related fib saddr type local accept/)
  }
})

t.test('what is near is never redirected, whatever else is', async (t) => {
  const script = renderOwned({ ...e, redirect: 'all', dnsPort: 18053 }).split('\n')
  const capture = script.filter((line) => line.startsWith('add rule inet aa_redirect capture'))
  const at = (text: string) => capture.findIndex((line) => line.includes(text))
  t.match(capture[at('169.254.0.0/16')], / accept$/)
  t.match(capture[at('fd00:ec2::254')], / accept$/)
  t.ok(at('fd00:ec2::254') < at('redirect to :18443'))
  t.ok(at('th dport 53') < at('169.254.0.0/16'), 'but for the resolver that a cloud puts there')
})

t.test('the redirect stands on a lease, which a beat renews in one transaction', async (t) => {
  t.match(renderOwned(e), /timeout/)
  const beat = renderBeat(e.leaseMs).trim().split('\n')
  t.ok(beat.length >= 2, beat.join('; '))
  t.match(beat.at(-1), /^add element inet aa_redirect lease .*timeout 10000ms/)
  t.ok(beat.some((line) => line === 'flush set inet aa_redirect lease'))
})

t.test('the fence of the next boot names no device, and has the refusals all the same', async (t) => {
  t.notMatch(renderBootFence(e), /eth0|netdev/)
  t.match(renderBootFence(e), /refused_tcp/)
})

t.test('the owned tables refuse what the fence refuses, so that flushing that opens nothing', async (t) => {
  for (const counter of ['refused_tcp', 'refused_quic', 'refused_udp', 'direct_dial']) {
    t.match(renderFence(e), counter)
    t.match(renderOwned(e), counter)
  }
})

t.test('removes a fence whether it stands or not', async (t) => {
  const script = removeFenceScript().trim().split('\n')
  t.same(script, [
    'add table inet aa_fence',
    'delete table inet aa_fence',
    'add table netdev aa_fence',
    'delete table netdev aa_fence',
  ])
})

t.test(
  'a packet to a foreign host asks for nobody and no route: cheap conditions stand in front',
  async (t) => {
    const script = renderFence(e) + renderOwned(e)
    for (const chain of [
      ...['aa_fence output', 'aa_fence input', 'aa_redirect output', 'aa_redirect input'],
      ...['aa_redirect nat_output', 'aa_redirect late_output', 'aa_redirect slipped'],
    ]) {
      const rules = script.split('\n').filter((line) => line.startsWith(`add rule inet ${chain} `))
      t.ok(rules.length > 0, chain)
      for (const rule of rules)
        t.notMatch(rule, /skuid|skgid|fib|cgroupv2| rt (?!exists)| ct |iifname/, chain)
    }
  },
)

t.test(
  'who strayed is cut off from that address alone, and only under a fence around providers',
  async (t) => {
    const cuts = [
      { uid: 4001, address: '198.51.100.7' },
      { uid: 4001, address: '2001:db8::7' },
      { source: { address: '192.0.2.1', port: 4444 }, address: '198.51.100.8' },
    ]
    const script = renderOwned({ ...e, cuts })
    const elements = (set: string) =>
      new RegExp(`add element inet aa_redirect ${set} \\{ (.*) \\}`).exec(script)?.[1]
    t.equal(elements('cut_to4'), '198.51.100.8, 198.51.100.7')
    t.equal(elements('cut_to6'), '2001:db8::7')
    t.equal(elements('cut_users4'), '4001 . 198.51.100.7')
    t.equal(elements('cut_users6'), '4001 . 2001:db8::7')
    t.equal(elements('cut_flows4'), '192.0.2.1 . 4444 . 198.51.100.8')
    t.equal(elements('cut_flows6'), undefined)
    t.match(renderCuts({ ...e, cuts: [] }), 'flush set inet aa_redirect cut_users4')
    t.notMatch(renderFence({ ...e, cuts }), 'cut_users4', 'the fence outlives whoever could give it back')
    for (const fence of ['nothing', 'everything'] as const) {
      t.notMatch(renderOwned({ ...e, fence, cuts }), 'cut_users4', fence)
      t.equal(renderCuts({ ...e, fence, cuts }), '')
    }
  },
)

t.test('no cut but of a uid or an end and an address of one family reaches a ruleset', async (t) => {
  for (const cut of [
    { uid: 4001, address: '198.51.100.7; flush ruleset' },
    { uid: 2 ** 32 - 1, address: '198.51.100.7' },
    { uid: 1.5, address: '198.51.100.7' },
    { source: { address: '192.0.2.1', port: 70_000 }, address: '198.51.100.7' },
    { source: { address: '192.0.2.1', port: 1 }, address: '2001:db8::7' },
  ])
    t.throws(() => renderOwned({ ...e, cuts: [cut] }), { code: 'invalid-enforcement' }, JSON.stringify(cut))
})
