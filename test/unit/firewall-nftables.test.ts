import t from 'tap'
import type { Enforcement } from '../../firewall/enforcement.ts'
import {
  removeFenceScript,
  renderAdditions,
  renderDeletions,
  renderFence,
  renderRedirect,
} from '../../firewall/nftables.ts'

const e: Enforcement = {
  mode: 'standard',
  exemptUids: [1002, 7],
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
  exemptUids: [7, 1002, 7],
  ports: [80, 443],
  addresses4: reversed(e.addresses4),
  addresses6: reversed(e.addresses6),
  bridges: reversed(e.bridges),
  guardedPorts: [...e.guardedPorts].reverse(),
}
const bare: Enforcement = {
  ...e,
  exemptUids: [],
  ports: [],
  addresses4: [],
  addresses6: [],
  bridges: [],
  guardedPorts: [],
}

t.test('says the same whatever the order of its input', async (t) => {
  t.equal(renderFence(shuffled), renderFence(e))
  t.equal(renderRedirect(shuffled), renderRedirect(e))
})

t.test('writes one command a line and nothing else', async (t) => {
  for (const script of [
    renderFence(e),
    renderRedirect(e),
    removeFenceScript(),
    renderFence(bare),
    renderRedirect(bare),
  ]) {
    t.ok(script.endsWith('\n'))
    for (const line of script.trim().split('\n'))
      t.match(line, /^(add|flush|delete) (table|set|chain|rule|counter|element) inet aa_/)
  }
})

t.test('writes no empty list, which nft refuses', async (t) => {
  for (const script of [renderFence(bare), renderRedirect(bare)]) t.notMatch(script, /\{ *\}/)
})

t.test('replaces a fence in place: what it removes are rules and elements, not chains', async (t) => {
  t.notMatch(renderFence(e), /^delete/m)
  t.match(renderFence(e), /^flush table inet aa_fence$/m)
  t.ok(renderFence(e).indexOf('flush table') < renderFence(e).indexOf('add rule'))
})

t.test('keeps the exempt users, and only those, out of the redirect', async (t) => {
  const script = renderRedirect(e)
  t.match(script, 'add element inet aa_redirect exempt_uids { 7, 1002 }')
  const rules = script.split('\n').filter((line) => line.startsWith('add rule inet aa_redirect output'))
  t.match(rules[0], 'meta skuid @exempt_uids accept')
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

t.test('renders only the elements that change', async (t) => {
  t.equal(renderAdditions('aa_fence', [], []), '\n')
  t.equal(
    renderAdditions('aa_fence', ['2.2.2.2', '1.1.1.1'], []),
    'add element inet aa_fence llm4 { 1.1.1.1, 2.2.2.2 }\n',
  )
  t.equal(renderDeletions('aa_redirect', [], ['::2']), 'delete element inet aa_redirect llm6 { ::2 }\n')
  t.throws(() => renderAdditions('aa_fence', ['1.1.1.1 }; flush ruleset'], []), {
    code: 'invalid-enforcement',
  })
})

t.test('removes a fence whether it stands or not', async (t) => {
  t.equal(removeFenceScript(), 'add table inet aa_fence\ndelete table inet aa_fence\n')
})
