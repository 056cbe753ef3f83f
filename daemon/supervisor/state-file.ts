/**
 * `supervisor.json`: what the supervisor knows about itself, for `status`. A file, not a socket: the supervisor
 * answers nobody, so that root never parses what an agent sends.
 */
import { readFile, stat } from 'node:fs/promises'
import { z } from 'zod'
import { writeFileAtomic } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import { Cosigning } from '../http/messages.ts'
import { AuthorityState } from './authority/authority-state.ts'
import { ChildName } from './child-name.ts'
import { WorkerCounters } from './traffic.ts'

const Child = z.object({
  name: ChildName,
  pid: z.number().optional(),
  state: z.enum(['starting', 'running', 'waiting', 'stopped']),
  restarts: z.number(),
  lastExit: z.string().optional(),
})

export const SupervisorState = z.object({
  v: z.literal(1),
  version: z.string(),
  pid: z.number(),
  /** Start time of `pid` in clock ticks since boot (field 22 of /proc/PID/stat): tells a reused pid. */
  pidStart: z.string(),
  phase: z.enum(['starting', 'running', 'stopping']),
  /** RFC 3339. */
  since: z.string(),
  policy: z.object({
    name: z.string(),
    hash: z.string(),
    /** Whether what passes the proxy by is refused; under `observe` it isn't. */
    refuses: z.boolean().default(true),
    /** Attempts at a reload that are over. */
    reloads: z.number(),
    /** Why the last one left the policy as it was. */
    rejected: z.string().optional(),
  }),
  vault: z.string(),
  ca: AuthorityState,
  enforcement: z.object({
    fence: z.boolean(),
    redirect: z.boolean(),
    addresses: z.number(),
    addressesKnown: z.boolean(),
    /** Whether any name server answers for the catalogue's names. */
    namesAnswered: z.boolean().default(true),
    /** No fence stood when this start began, though one had been left. */
    unfenced: z.boolean().default(false),
    /** Devices by which packets leave. */
    uplinks: z.array(z.string()).readonly(),
    /** Whether changes of the rules by others are seen as they happen. */
    watched: z.boolean(),
    /** Whether raw frames are judged where they leave a device. */
    egress: z.boolean(),
    /** Devices by which AF_XDP sockets of others can send past every rule. */
    openQueues: z.array(z.object({ device: z.string(), reason: z.string() })).readonly(),
    /** The last such change to tables of ours; milliseconds since the epoch. */
    lastTamper: z.object({ time: z.number(), by: z.string(), what: z.string() }).optional(),
  }),
  /** Users and groups of the policy that this machine lacks. */
  missingAccounts: z.array(z.string()),
  /** Where evidence that an earlier process left, and that was damaged, waits for somebody to look at it. */
  damagedEvidence: z.string().optional(),
  sensor: z.object({
    /** Sources that it doesn't see. */
    blind: z.array(z.object({ device: z.string(), reason: z.string() })),
    /** Packets that the kernel could not hand to it. */
    drops: z.number(),
  }),
  /** What strangers are served, by whom, and why not where its port can't be had. */
  served: z
    .array(
      z.object({ name: z.enum(['log-server', 'witness']), listen: z.string(), why: z.string().optional() }),
    )
    .default([]),
  /** Where this log has witnesses. */
  cosigning: Cosigning.optional(),
  /** What the workers count, together. */
  traffic: WorkerCounters,
  children: z.array(Child),
})
export type SupervisorState = z.infer<typeof SupervisorState>

/** Lives on a tmpfs: no fsync. */
export const writeState = (file: string, state: SupervisorState): Promise<void> =>
  writeFileAtomic(file, Buffer.from(JSON.stringify(state)), { mode: 0o644, durable: false })

/** What the file shows of the supervisor. */
export type StateFound =
  | {
      readonly kind: 'running'
      readonly state: SupervisorState
      /** Milliseconds since it was written, which it is at least every {@link BEAT_MS}. */
      readonly age: number
      /** Somebody stopped its process (SIGSTOP). */
      readonly stopped: boolean
    }
  | { readonly kind: 'absent' }
  /** It is there, and the system doesn't let us read it. */
  | { readonly kind: 'unreadable'; readonly why: string }
  /** It is none of this version's. */
  | { readonly kind: 'unknown'; readonly version?: string }
  /** Its process is gone, and had no time to remove it. */
  | { readonly kind: 'ended'; readonly state: SupervisorState }

/** How often the running supervisor renews the file, whether anything changed or not. */
export const BEAT_MS = 5000

export async function findState(file: string): Promise<StateFound> {
  let text: string
  let age: number
  try {
    text = await readFile(file, 'utf8')
    age = Date.now() - (await stat(file)).mtimeMs
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ENOTDIR'
      ? { kind: 'absent' }
      : { kind: 'unreadable', why: messageOf(error) }
  }
  const found = parseJson(text)
  const { success, data: state } = SupervisorState.safeParse(found)
  if (!success) {
    const version = Versioned.safeParse(found).data?.version
    return { kind: 'unknown', ...(version === undefined ? {} : { version }) }
  }
  const fields = await processFields(state.pid)
  if (fields?.start !== state.pidStart) return { kind: 'ended', state }
  return { kind: 'running', state, age, stopped: fields.state === 'T' }
}

const Versioned = z.object({ version: z.string().max(100) })

/** The state of the running supervisor; undefined where none runs, or it can't be told. */
export async function readState(file: string): Promise<SupervisorState | undefined> {
  const found = await findState(file)
  return found.kind === 'running' ? found.state : undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** When a process started, in clock ticks since boot; undefined where it isn't there. */
export const processStart = async (pid: number): Promise<string | undefined> =>
  (await processFields(pid))?.start

/** Of /proc/PID/stat: proc(5). */
async function processFields(pid: number) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  // The name in parentheses may hold spaces and parentheses: count from the last one.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields && { state: fields[0], start: fields[19] }
}
