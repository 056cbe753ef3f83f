/** Recording goes on whatever the chain does: the recorder's own process, with a chain-writer whose endpoint is hostile. */
import { join } from 'node:path'
import t from 'tap'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { FakeProxy, startMessage, temporaryDirectory } from '../unit/recorder-fixtures.ts'
import { startRecorder } from '../unit/recorder-process.ts'
import { emptyDirectory, startAnvil } from './chain-anvil.ts'
import { cut, type Fault, GARBAGE, hang, startRpcProxy } from './rpc-proxy.ts'

t.setTimeout(120_000)

interface Seen {
  readonly chain?: {
    readonly chains: readonly {
      readonly anchored?: { readonly size: string }
    }[]
  }
}

t.test(
  'every request is acknowledged while the chain hangs, lies and floods; then all is anchored',
  async (t) => {
    const anvil = await startAnvil(t, emptyDirectory(t))
    const endpoint = await startRpcProxy(t, () => anvil.url)
    const directory = temporaryDirectory()
    const start = startMessage(directory)
    const recorder = await startRecorder({
      ...start,
      chain: {
        chains: [{ name: 'lab', kind: 'development', port: Number(new URL(endpoint.url).port) }],
        key: Buffer.alloc(32, 9),
        stateDir: join(directory, 'chain'),
        origin: start.origin,
        verifierKey: start.verifierKey,
        ledger: join(directory, 'recorder', 'ledger'),
        anchoring: { maxDelayMs: 500, maxLeaves: 10 },
      },
    } as typeof start)
    t.teardown(() => recorder.child.kill('SIGKILL'))
    const state = async (fits: (seen: Seen) => boolean) => (await recorder.state(fits as never)) as Seen
    const proxy = await FakeProxy.connect(start.socket)
    t.teardown(() => proxy.socket.destroy())

    let requests = 0
    let slowest = 0
    const record = async () => {
      const before = performance.now()
      const { exchange, reply } = await proxy.request()
      slowest = Math.max(slowest, performance.now() - before)
      t.equal(reply.type, FrameType.Durable)
      proxy.respond(exchange)
      requests++
    }
    await record()
    await state((seen) => BigInt(seen.chain?.chains[0]?.anchored?.size ?? 0) > 0n)

    // Nothing, without end, as long as somebody reads it.
    const flood: Fault = async ({ response }) => {
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
      }
      response.on('drain', more)
      more()
      return undefined
    }
    for (const fault of [hang, flood, cut, ...GARBAGE]) {
      endpoint.fault = fault
      for (let i = 0; i < 20; i++) await record()
    }
    t.comment(`the slowest of ${requests} acknowledgements took ${Math.round(slowest)} ms`)
    t.ok(slowest < 3000)
    endpoint.fault = undefined
    await state((seen) => BigInt(seen.chain?.chains[0]?.anchored?.size ?? 0) >= BigInt(requests))
    t.equal(await recorder.stop(), 0)
  },
)
