/**
 * The writer is killed at random instants, most of them around persist, send and receipt, each time with a newer
 * checkpoint: no anchor twice, none out of order, none lost, no nonce that stays behind.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { emptyDirectory, startAnvil, until } from './chain-anvil.ts'
import { eventsOf, freshKey, inOrder, startLane } from './chain-lane.ts'
import { type Fault, startRpcProxy } from './rpc-proxy.ts'

t.setTimeout(240_000)
const KILLS = 100
const VICTIM = fileURLToPath(new URL('chain-victim.ts', import.meta.url))

t.test(`${KILLS} kills: one anchor for each size, the newest checkpoint in the end`, async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const endpoint = await startRpcProxy(t, () => anvil.url)
  const directory = join(emptyDirectory(t), 'chain')
  const key = freshKey()
  // Makes the account known and gives it money.
  const first = await startLane(t, anvil, { endpoints: [endpoint], key, directory })
  await first.stop()

  const cache = emptyDirectory(t)
  const spawnVictim = (): ChildProcess =>
    spawn(
      execPath,
      ['--disable-warning=ExperimentalWarning', VICTIM, endpoint.url, directory, key.toString('hex')],
      {
        env: { PATH: '/usr/bin:/bin', NODE_COMPILE_CACHE: cache },
        stdio: ['pipe', 'ignore', 'inherit'],
      },
    )

  let size = 0
  let spare = spawnVictim()
  t.teardown(() => spare.kill('SIGKILL'))
  const instants: Record<string, number> = {}
  for (let n = 0; n < KILLS; n++) {
    const victim = spare
    const exit = once(victim, 'exit')
    spare = spawnVictim()
    const { promise: due, resolve: now } = Promise.withResolvers<void>()
    const instant = INSTANTS[n % INSTANTS.length]!
    instants[instant.name] = (instants[instant.name] ?? 0) + 1
    endpoint.fault = instant.fault?.(now)
    // A victim that has nothing to do at that instant dies a little later.
    const late = setTimeout(now, 500)
    victim.stdin?.write(`${++size}\n`)
    if (!instant.fault) setTimeout(now, Math.random() * 300)
    await due
    clearTimeout(late)
    victim.kill('SIGKILL')
    await exit
    endpoint.fault = undefined
  }
  t.comment(JSON.stringify(instants))

  const last = await startLane(t, anvil, { endpoints: [endpoint], key, directory })
  last.checkpoint(++size)
  await last.final(size)
  await inOrder(t, anvil, last, [endpoint], size)
  const anchors = (await eventsOf(anvil, last)).length
  t.ok(anchors >= KILLS / 10, `${anchors} anchors were made on the way`)
  await until('it is healthy', () => last.codes().length === 0)

  // Nothing was paid for twice: as many transactions as deployment, registration, authorisation and anchors need.
  const nonce = Number(await anvil.call('eth_getTransactionCount', last.state().gatewayAddress, 'latest'))
  const setUp = nonce - anchors
  t.ok(setUp >= 2 && setUp <= 3, `${nonce} transactions for ${anchors} anchors`)
  await until('nothing is pending', () => last.state().pending === undefined)
})

interface Instant {
  readonly name: string
  /** Absent: at a random time. */
  readonly fault?: (kill: () => void) => Fault
}

/** At one of the first questions of a kind: not always at the very first, or no victim would ever come further. */
const at =
  (method: string, when: 'before' | 'after', most: number) =>
  (kill: () => void): Fault => {
    let passes = Math.floor(Math.random() * most)
    return async (exchange) => {
      if (exchange.question.method !== method || passes-- > 0) return exchange.forward()
      const answer = when === 'after' ? await exchange.forward() : undefined
      kill()
      // The answer comes too late or in the same moment, as it happens.
      await sleep(Math.random() * 4)
      return answer
    }
  }

const INSTANTS: readonly Instant[] = [
  { name: 'a random instant' },
  { name: 'signed, not sent', fault: at('eth_sendRawTransaction', 'before', 2) },
  { name: 'a random instant' },
  { name: 'sent, not answered', fault: at('eth_sendRawTransaction', 'after', 2) },
  { name: 'asking for the receipt', fault: at('eth_getTransactionReceipt', 'before', 3) },
  { name: 'a random instant' },
  { name: 'the receipt arrives', fault: at('eth_getTransactionReceipt', 'after', 3) },
  { name: 'before it is signed', fault: at('eth_estimateGas', 'after', 2) },
  { name: 'reading the head', fault: at('eth_call', 'after', 5) },
]
