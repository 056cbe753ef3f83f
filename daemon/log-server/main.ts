/**
 * Serves the log to foreign monitors: a process of its own that reads the log's directory and nothing else. It holds no
 * key and writes no file, which Node's permission model enforces (docs/decisions/026).
 */

import { startBoundedServer } from '../http/bounded-server.ts'
import { LogServerStart } from '../http/messages.ts'
import { serveFrom } from '../http/served-process.ts'
import { logResource } from './log-resource.ts'

serveFrom('log-server', LogServerStart, ({ listen, ledger, entries }, process) =>
  startBoundedServer({ ...listen, ...process, maxBody: 0, handle: logResource(ledger, entries) }),
)
