/**
 * `supervisor.json`: what the supervisor knows about itself, for `status`. A file, not a socket: the supervisor
 * answers nobody, so that root never parses what an agent sends.
 */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { writeFileAtomic } from '../base/durable.ts'
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

/** The state of the running supervisor; undefined where none runs (no file, or its process is gone). */
export async function readState(file: string): Promise<SupervisorState | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const parsed = SupervisorState.safeParse(parseJson(text))
  if (!parsed.success) return undefined
  const alive = (await processStart(parsed.data.pid)) === parsed.data.pidStart
  return alive ? parsed.data : undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** When a process started, in clock ticks since boot; undefined where it isn't there. proc(5). */
export async function processStart(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  // The name in parentheses may hold spaces and parentheses: count from the last one.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
}
