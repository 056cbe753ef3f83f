import { readFileSync } from 'node:fs'
import t from 'tap'
import { RECORD_SCHEMA, recordSchema } from '../../daemon/recorder/json-schema.ts'
import { LogRecord } from '../../daemon/recorder/record.ts'

t.test('the published JSON Schema is that of the records', async (t) => {
  const published = JSON.parse(readFileSync(RECORD_SCHEMA, 'utf8'))
  t.strictSame(published, recordSchema(), 'run daemon/recorder/json-schema.ts to write it again')
  t.match(published, { $schema: /2020-12/ })
  t.equal(published.oneOf.length, LogRecord.options.length)
  for (const kind of published.oneOf) t.equal(kind.additionalProperties, false)
})

t.test('the example of the documentation is a record', async (t) => {
  const formats = readFileSync(new URL('../../docs/formats.md', import.meta.url), 'utf8')
  const example = /\n(\{"agent":.*\})\n/.exec(formats)?.[1]
  t.match(LogRecord.parse(JSON.parse(example ?? '')), {
    kind: 'exchange',
    derived: { usageSource: 'reported' },
  })
})
