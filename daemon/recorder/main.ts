/**
 * The recorder's process: started by the supervisor under an account of its own, keys over IPC. This thread
 * takes frames and acknowledges them; the finaliser's makes records; the chain-writer's anchors.
 */
import { messageOf } from '../base/errors.ts'
import { keepMemoryPrivate } from '../base/private-memory.ts'
import { RecorderError, schemaMessage } from './errors.ts'
import { SUPERVISOR_LOST } from './last-end.ts'
import { FromSupervisor, Id, type Recorded, type RecorderStart } from './messages.ts'
import { Recorder } from './recorder.ts'

const log = (line: string): void => void process.stderr.write(`${line}\n`)

process.umask(0o077)
const readable = keepMemoryPrivate()
if (readable) log(`recorder: ${readable}`)
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
    recorded: (ids) => send({ type: 'recorded', ids } satisfies Recorded),
    fatal: fail,
  })
  send({ type: 'ready' })
  return begun
}

/**
 * Evidence that can't be recorded as it is becomes a gap under its own id: to end over it would be to get it again from
 * the supervisor, for ever.
 */
function unreadable(raw: unknown, what: string, running: Recorder): void {
  log(`recorder: a message of the supervisor has an unknown shape: ${what}`)
  const id = Id.safeParse((raw as { id?: unknown } | null)?.id).data
  const now = Date.now()
  const gap = { type: 'gap' as const, cause: 'evidence-unreadable', from: now, to: now, detail: { what } }
  running.take(id === undefined ? gap : { ...gap, id })
}

async function receive(raw: unknown): Promise<void> {
  const parsed = FromSupervisor.safeParse(raw)
  if (!parsed.success) {
    if (recorder) return unreadable(raw, schemaMessage(parsed.error), await recorder)
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
  else if (message.type === 'policy') (await recorder).policy(message.policy)
  else if (message.type === 'supervisor') (await recorder).supervisor(message.state)
  else if (message.type === 'erase') (await recorder).erase(message.ids, message, send)
  else (await recorder).take(message)
}

process.on('message', (raw) => void receive(raw).catch(fail))
/** The supervisor died: nobody enforces from here on, and the next start says until when. */
process.on('disconnect', () => {
  if (!stopping)
    void recorder?.then((running) => running.take({ type: 'audit', event: SUPERVISOR_LOST, detail: {} }))
  void stop()
})
process.on('SIGTERM', () => void stop())
// A terminal's Ctrl-C reaches every process of the group: the supervisor stops us, in its order.
process.on('SIGINT', () => {})
