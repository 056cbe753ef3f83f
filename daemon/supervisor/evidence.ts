/** The supervisor's own evidence: its journal, the way into the log, changes of keys, and when coverage held. */
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { fencePresent } from '../../firewall/fence.ts'
import { systemNft } from '../../firewall/nft.ts'
import { syncDirectory } from '../base/durable/files.ts'
import { type AuditTrail, auditTrail } from './audit-trail.ts'
import { type Coverage, lastAlive, openCoverage } from './coverage.ts'
import { evidenceSetAside } from './evidence-damage.ts'
import { openEvidenceJournal } from './evidence-journal.ts'
import type { Identity } from './identity.ts'
import { type KeyChanges, keyChanges } from './key-changes.ts'
import type { Layout } from './layout.ts'
import type { Log } from './log.ts'
import type { Running } from './running.ts'

export interface OwnEvidence {
  readonly trail: AuditTrail
  readonly keys: KeyChanges
  readonly coverage: Coverage
  /** Where damaged evidence waits for somebody to look at it; undefined where none does. */
  damaged(): string | undefined
}

export async function openEvidence(parts: {
  readonly paths: Layout
  readonly identity: Identity
  readonly running: Running
  readonly log: Log
  /** Takes on what is to be closed. */
  readonly stack: AsyncDisposableStack
}): Promise<OwnEvidence> {
  const { paths, identity, running, log, stack } = parts
  const journal = openEvidenceJournal({ path: paths.evidence, endedAt: await lastAlive(paths.alive), log })
  stack.defer(() => journal.close())
  // Its name, not its lines: one that is missing after a power loss was taken away.
  await syncDirectory(dirname(paths.evidence))
  const trail = auditTrail(
    // Before it is ready the recorder has no log to write to.
    (message) => (running.recorder?.state().state === 'running' && running.recorder.send(message)) ?? false,
    { journal },
  )
  // The first record of a new log names its key.
  const keys = keyChanges({
    identity,
    trail,
    log,
    renew: () => running.recorder?.renew((child) => child.send({ type: 'stop' }, () => {})),
  })
  const fenced = await fencePresent(systemNft())
  // The script is left where the fence is.
  running.unfenced = !fenced && existsSync(paths.fenceScript)
  const coverage = await openCoverage({
    aliveFile: paths.alive,
    // Where it is gone, LLM traffic may have been let through.
    found: { fence: fenced ? 'stood' : 'gone' },
    audit: trail.write,
    gap: trail.gap,
    draft: trail.draft,
  })
  stack.defer(() => coverage.stopping())
  return { trail, keys, coverage, damaged: () => evidenceSetAside(paths.evidence) }
}
