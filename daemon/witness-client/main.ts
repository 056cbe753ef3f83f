/**
 * Has this log's checkpoints cosigned by witnesses: a process of its own, since what they answer is a stranger's. It
 * reads the log, writes the cosigned checkpoint beside it, and holds no key (docs/decisions/026).
 */
import { WitnessClientStart } from '../http/messages.ts'
import { serveFrom } from '../http/served-process.ts'
import { openReader } from '../ledger/reader.ts'
import { witnessAt } from './ask.ts'
import { poster } from './post.ts'
import { Rounds } from './rounds.ts'

const TIMEOUT_MS = 10_000

serveFrom('witness-client', WitnessClientStart, ({ ledger, atLeast, of }, { log, send }) => {
  const reader = openReader(ledger)
  const witnesses = of.map(({ url, key }) => witnessAt(key, poster(url, TIMEOUT_MS), reader))
  const changed = (state: object): void => send({ type: 'cosigning', state })
  const rounds = new Rounds({ ledger, reader, witnesses, atLeast, log, changed })
  void rounds.run()
  return { close: () => rounds.stop() }
})
