/**
 * The recorder's process: started by the supervisor under an account of its own, keys over IPC. This thread
 * takes frames and acknowledges them; the finaliser's makes records; the chain-writer's anchors.
 */
import { messageOf } from '../base/errors.ts'
import { RecorderError, schemaMessage } from './errors.ts'
import { FromSupervisor, type RecorderStart } from './messages.ts'
import { Recorder, SUPERVISOR_LOST } from './recorder.ts'

const log = (line: string): void => void process.stderr.write(`${line}\n`)

process.umask(0o077)
let recorder: Promise<Recorder> | undefined
let stopping = false

/** Runs until everything that came is in the log, or it can't be: the journal then keeps it for the next start. */
async function stop(): Promise<void> {
  if (stopping) return
  stopping = true
  try {
    const clean = recorder === undefined || (await (await recorder).stop())
    process.exit(clean ? 0 : 1)
  } catch (error) {
    fail(error)
  }
}

function fail(error: unknown): void {
  log(`recorder: ${messageOf(error)}`)
  if (error instanceof Error && 'remedy' in error) log(`recorder: ${String(error.remedy)}`)
  process.exit(1)
}

function send(message: object): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

async function begin(start: RecorderStart): Promise<Recorder> {
  const begun = await Recorder.start(start, {
    log,
    state: (state) => send({ type: 'state', ...state }),
    fatal: fail,
  })
  send({ type: 'ready' })
  return begun
}

async function receive(raw: unknown): Promise<void> {
  const parsed = FromSupervisor.safeParse(raw)
  if (!parsed.success) {
    throw new RecorderError(
      'BAD_START',
      `a message of the supervisor has an unknown shape: ${schemaMessage(parsed.error)}`,
      'Supervisor and recorder are of different versions: install again.',
    )
  }
  const message = parsed.data
  if (message.type === 'start') {
    recorder ??= begin(message)
    await recorder
  } else if (message.type === 'stop') await stop()
  else if (recorder === undefined) log(`recorder: ${message.type} before start; dropped`)
  else if (message.type === 'audit') {
    ;(await recorder).audit(message.event, message.detail, message.time)
  } else (await recorder).supervisor(message.state)
}

process.on('message', (raw) => void receive(raw).catch(fail))
/** The supervisor died: nobody enforces from here on, and the next start says until when. */
process.on('disconnect', () => {
  if (!stopping) void recorder?.then((running) => running.audit(SUPERVISOR_LOST, {}))
  void stop()
})
process.on('SIGTERM', () => void stop())
// A terminal's Ctrl-C reaches every process of the group: the supervisor stops us, in its order.
process.on('SIGINT', () => {})
