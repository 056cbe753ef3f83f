/** The refusers of the last day, read from the index of a gateway of this machine. */
import { clientEnvironment } from '../../ca/client-environment.ts'
import { systemBundlePath } from '../../ca/system-roots.ts'
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import type { LogRecord } from '../../daemon/recorder/record.ts'
import type { Evidence } from '../evidence.ts'
import { type Refuser, refusers } from './refusers.ts'

const LATELY_MS = 86_400_000
const PAGE = 500
/** Of a kind: a machine that makes more in a day shows what is newest. */
const MOST_PAGES = 20

export function lately({ index, paths }: Pick<Evidence, 'index' | 'paths'>): Refuser[] {
  const variables = clientEnvironment({
    certificateFile: paths.caCertificate,
    bundleFile: systemBundlePath(),
  })
  const since = new Date(Date.now() - LATELY_MS).toISOString()
  const kinds = ['refusal', 'exchange'] as const
  return kinds.flatMap((kind) =>
    refusers(newest(index, kind, since), { variables, certificateFile: paths.caCertificate }),
  )
}

function* newest(
  index: Evidence['index'],
  kind: 'refusal' | 'exchange',
  since: string,
): Generator<LogRecord> {
  let before: number | undefined
  for (let page = 0; page < MOST_PAGES; page++) {
    const rows = index.list({ kind, limit: PAGE, before })
    for (const row of rows) {
      if (row.time < since) return
      yield parseLeaf(row.bytes)
    }
    before = rows.at(-1)?.leaf
    if (rows.length < PAGE) return
  }
}
