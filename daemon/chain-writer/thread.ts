/**
 * The chain-writer's thread in the recorder's process. Whatever happens in it, recording goes on: nobody waits for
 * its answers, and what it can't do is a state of health.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { z } from 'zod'
import { ChainError } from './chain-error.ts'
import { startChainWriter } from './chain-writer.ts'
import { ChainWriterData, ChainWriterInput } from './chain-writer-state.ts'

const port = parentPort
if (!port) throw badMessage('thread.ts is started as a worker thread, not by itself')

const data = ChainWriterData.safeParse(workerData)
if (!data.success) throw badMessage(`bad start data: ${z.prettifyError(data.error)}`)

// Several changes at once make one message.
let posting: NodeJS.Timeout | undefined
const writer = await startChainWriter({
  data: data.data,
  changed: () => {
    posting ??= setTimeout(post, 20)
  },
})
function post() {
  clearTimeout(posting)
  posting = undefined
  port?.postMessage(writer.state())
}
// Health also changes with time alone.
const ticking = setInterval(post, 5_000)
post()

port.on('message', (message: unknown) => {
  const input = ChainWriterInput.safeParse(message)
  // Thrown in a listener, it ends the thread and reaches the recorder as its 'error' event.
  if (!input.success) throw badMessage(`bad message: ${z.prettifyError(input.error)}`)
  if (input.data.type === 'stop') return void stop()
  const { size, root, note, consistency } = input.data
  const proof = consistency && { from: BigInt(consistency.from), proof: consistency.proof }
  writer.checkpoint({ size: BigInt(size), root, note }, proof)
})

async function stop() {
  clearInterval(ticking)
  await writer.stop()
  post()
  port?.close()
}

function badMessage(what: string): ChainError {
  return new ChainError('BAD_MESSAGE', what, 'This is a fault of the gateway: report it with this message.')
}
