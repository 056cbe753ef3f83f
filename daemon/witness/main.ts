/**
 * The witness's process: it holds the witness key and what it has cosigned, and nothing of this gateway's own log, which
 * Node's permission model enforces (docs/decisions/026).
 */
import { startBoundedServer } from '../http/bounded-server.ts'
import { WitnessStart } from '../http/messages.ts'
import { serveFrom } from '../http/served-process.ts'
import { cosigner } from '../ledger/cosignature.ts'
import { MAX_REQUEST } from './add-checkpoint.ts'
import { witness } from './witness.ts'

serveFrom('witness', WitnessStart, ({ listen, dir, name, key, logs }, process) => {
  const handle = witness({ dir, logs, cosigner: cosigner(name, key) })
  return startBoundedServer({ ...listen, ...process, maxBody: MAX_REQUEST, handle })
})
