/** `agent-anchor doctor` on a machine whose enforcement holds, and on one where it doesn't. */
import t from 'tap'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'

await enterLab(import.meta.url)
t.setTimeout(180_000)
const lab = await startLab()
t.teardown(() => lab.stop())

interface Answer {
  readonly holds: boolean
  readonly checks: readonly { check: string; result: string; detail: string }[]
}

for (const policy of ['standard', 'strict', 'lockdown', 'observe']) {
  t.test(`under ${policy} each try is caught, and the kernel's counters say so`, async (t) => {
    const gateway = await startGateway(`anchoring: {maxDelayMs: 1000}\npolicy: ${policy}\n`)
    t.teardown(() => gateway.stop())
    const { holds, checks } = (await gateway.json('doctor')) as unknown as Answer
    for (const { check, result, detail } of checks) t.equal(result, 'held', `${check}: ${detail}`)
    t.equal(holds, true)
    t.ok(checks.length >= 9, `${checks.length} checks`)
    const names = checks.map(({ check }) => check).join('\n')
    for (const wanted of [/own port on 127/, /QUIC.*IPv4/, /QUIC.*IPv6/, /ordinary call/])
      t.match(names, wanted)
    t.equal(/foreign resolver/.test(names), policy === 'strict' || policy === 'lockdown')
    const text = await gateway.cli('doctor')
    t.equal(text.code, 0, text.stdout + text.stderr)
    t.match(text.stdout, /enforcement holds/)
    t.comment(text.stdout)
  })
}

t.test('what is not enforced is found, though the gateway says that it runs', async (t) => {
  const gateway = await startGateway('anchoring: {maxDelayMs: 1000}\n')
  t.teardown(() => gateway.stop())
  // A frozen guard restores nothing; the lease ends, and then the fence is taken away.
  gateway.process.kill('SIGSTOP')
  const owner = await lab.run('root', ['pkill', '-KILL', '-x', 'nft'])
  t.equal(owner.code, 0)
  t.equal((await lab.run('root', ['nft', 'flush', 'ruleset'])).code, 0)
  const open = await gateway.cli('doctor')
  t.equal(open.code, 1, open.stdout + open.stderr)
  t.match(open.stdout, /FAILED/)
  t.match(open.stdout, /NOT proved/)
  gateway.process.kill('SIGCONT')
})

t.test('without a gateway nothing is tried, and the exit code says so', async (t) => {
  const gateway = await startGateway()
  await gateway.stop()
  const none = await gateway.cli('doctor')
  t.equal(none.code, 3, none.stdout + none.stderr)
  t.match(none.stdout, /does not run/)
})
