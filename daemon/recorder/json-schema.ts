/** The JSON Schema (2020-12) of records, which docs/ publishes: made from the zod schema, never written by hand. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { LogRecord } from './record.ts'

export const RECORD_SCHEMA = join(import.meta.dirname, '../../docs/record.schema.json')

export function recordSchema(): object {
  return {
    title: 'Agent Anchor record, schema v1',
    description: 'A leaf of the log. docs/formats.md tells what the fields mean.',
    ...z.toJSONSchema(LogRecord),
  }
}

// `node daemon/recorder/json-schema.ts` writes it again after a change of the schema.
if (import.meta.main) writeFileSync(RECORD_SCHEMA, `${JSON.stringify(recordSchema(), null, 2)}\n`)
