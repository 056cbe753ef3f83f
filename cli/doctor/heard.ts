/** What time it was by providers, from the heads of the answers that are stored. */
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { parseHead } from '../../daemon/recorder/derive/http-head.ts'
import { CANARY_NAME } from '../../daemon/supervisor/canary.ts'
import type { Evidence } from '../evidence.ts'
import type { Heard } from './clock.ts'
import { lately } from './lately.ts'

/** So many of the newest. */
const MOST = 15

export async function heardLately(evidence: Evidence): Promise<Heard[]> {
  const bodies = openBodies(evidence.paths.recorderState, await evidence.bodyKey())
  try {
    const heard: Heard[] = []
    for (const record of lately(evidence, 'exchange')) {
      if (heard.length === MOST) break
      if (record.kind !== 'exchange' || record.server.name === CANARY_NAME) continue
      const { server, time, timing, response } = record
      if (!response?.head.stored || timing.firstByte === undefined) continue
      const said = dateIn(bodies, response.head.digest)
      if (!Number.isNaN(said))
        heard.push({ server: server.name, said, came: Date.parse(time) + timing.firstByte })
    }
    return heard
  } finally {
    bodies.close()
  }
}

/** NaN where it says none, or is gone. */
function dateIn(bodies: ReturnType<typeof openBodies>, digest: string): number {
  try {
    const [date = ''] = parseHead(bodies.read(digest).bytes).fields.get('date') ?? []
    return Date.parse(date)
  } catch {
    return Number.NaN
  }
}
