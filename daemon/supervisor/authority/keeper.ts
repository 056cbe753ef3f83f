/**
 * The CA while the gateway runs: signs the workers' leaves, takes up the steps of a rotation as commands take them, has
 * the successor sign when the overlap is over, and tells the log of each step. No connection ends by any of it: workers
 * ask for other leaves from the next handshake on.
 *
 * It never writes a trust store: the service can't (ProtectSystem=), and the machine's trust is changed by a command of
 * root's only.
 */
import { X509Certificate } from 'node:crypto'
import type { PermittedDomains } from '../../../ca/authority.ts'
import { messageOf } from '../../base/errors.ts'
import type { AuditTrail } from '../audit-trail.ts'
import { type LeafService, leafService } from '../leaf-service.ts'
import type { Log } from '../log.ts'
import type { AuthorityState } from './authority-state.ts'
import type { Taken } from './history.ts'
import { misfit } from './misfit.ts'
import { fingerprintOf } from './note.ts'
import type { Authorities } from './store.ts'

/** The CA on disk, as {@link openIdentity} found it. */
export interface AuthoritySource {
  readonly found: Authorities
  reopen(): Promise<Authorities>
  /** A successor that was only introduced stands in every trust store now. */
  distributed(): Promise<Authorities>
  /** The successor signs from now on. */
  switch(): Promise<Authorities>
  recorded(id: string): Promise<void>
}

export interface AuthorityKeeper {
  readonly leaf: LeafService
  /** PEM, the one that signs first. */
  certificates(): readonly string[]
  state(): AuthorityState
  /** The log holds these. */
  recorded(ids: readonly string[]): void
  /** Takes up what a command has changed. Never rejects. */
  reload(): Promise<void>
  stop(): void
}

const LOOK_MS = 30_000

export function authorityKeeper(options: {
  readonly source: AuthoritySource
  /** How long clients have to learn the successor before it signs. */
  readonly overlapMs: number
  readonly domains: () => PermittedDomains
  readonly trail: Pick<AuditTrail, 'write'>
  readonly log: Pick<Log, 'info' | 'error'>
  /** Another CA signs, or another one is known: workers are to ask for their leaves again. */
  readonly changed: () => void
  readonly now?: () => number
}): AuthorityKeeper {
  const { source, overlapMs, trail, log, now = Date.now } = options
  let current = source.found
  const told = new Set<string>()
  const tell = (steps: readonly Taken[]) => {
    for (const { id, step, from, to, note } of steps) {
      if (told.has(id)) continue
      told.add(id)
      trail.write('ca-rotated', { step, from, to, note }, id)
    }
  }
  tell(current.untold)

  const due = () =>
    current.rotation === undefined
      ? undefined
      : Math.min(Date.parse(current.rotation.since) + overlapMs, LAST_TIME)
  // One after the other: each opens and writes the same files.
  let last: Promise<void> = Promise.resolve()
  const take = (open: () => Promise<Authorities>) => {
    last = last.then(async () => {
      try {
        const next = await open()
        const order = ({ inOrder }: Authorities) => inOrder.map((each) => each.certificatePem).join('')
        const another = order(next) !== order(current)
        const step = next.rotation?.step
        if (step !== current.rotation?.step) log.info(`the CA: ${step ?? 'its rotation is over'}`)
        current = next
        tell(next.untold)
        if (another) options.changed()
      } catch (error) {
        log.error(`the CA could not be read again, and stays: ${messageOf(error)}`)
      }
    })
    return last
  }
  const look = () => {
    if (current.rotation?.step === 'distributed' && now() >= (due() ?? LAST_TIME)) void take(source.switch)
  }
  look()
  const timer = setInterval(look, LOOK_MS)
  timer.unref()

  return {
    leaf: (name, spki) => leafService(current.inOrder)(name, spki),
    certificates: () => current.inOrder.map(({ certificatePem }) => certificatePem),
    state() {
      const { outgrown, tooWide } = misfit(current, options.domains(), new Date(now()))
      const { rotation } = current
      return {
        certificates: current.inOrder.map(({ certificatePem }) => {
          const { validFromDate, validToDate } = new X509Certificate(certificatePem)
          return {
            sha256: fingerprintOf(certificatePem),
            notBefore: validFromDate.toISOString(),
            notAfter: validToDate.toISOString(),
          }
        }),
        outgrown: [...outgrown],
        tooWide,
        ...(rotation && {
          rotation: {
            step: rotation.step,
            since: rotation.since,
            due: new Date(due() ?? LAST_TIME).toISOString(),
          },
        }),
      }
    },
    recorded(ids) {
      for (const id of ids) {
        if (!told.has(id)) continue
        last = last
          .then(() => source.recorded(id))
          .catch((error: unknown) => void log.error(`a step of the CA's rotation: ${messageOf(error)}`))
      }
    },
    reload: () => take(source.reopen),
    stop: () => clearInterval(timer),
  }
}

/** ECMA-262 §21.4.1.1: the last time that a Date can hold. */
const LAST_TIME = 8.64e15
